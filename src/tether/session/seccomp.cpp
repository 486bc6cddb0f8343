#include "tether/session/seccomp.hpp"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <vector>

#include "base/error.hpp"

namespace berth::tether {
namespace {

constexpr sock_filter kFilter[] = {
#include "seccomp_filter.inc"
};

struct CapabilityCall {
  int capability;
  std::uint32_t number;
};

constexpr CapabilityCall kCapabilityCalls[] = {
    {CAP_DAC_READ_SEARCH, SYS_open_by_handle_at},
    {CAP_SYS_ADMIN, SYS_bpf},
    {CAP_SYS_ADMIN, SYS_clone},
    {CAP_SYS_ADMIN, SYS_clone3},
    {CAP_SYS_ADMIN, SYS_fanotify_init},
    {CAP_SYS_ADMIN, SYS_fsconfig},
    {CAP_SYS_ADMIN, SYS_fsmount},
    {CAP_SYS_ADMIN, SYS_fsopen},
    {CAP_SYS_ADMIN, SYS_fspick},
    {CAP_SYS_ADMIN, SYS_lookup_dcookie},
    {CAP_SYS_ADMIN, SYS_mount},
    {CAP_SYS_ADMIN, SYS_mount_setattr},
    {CAP_SYS_ADMIN, SYS_move_mount},
    {CAP_SYS_ADMIN, SYS_open_tree},
    {CAP_SYS_ADMIN, SYS_perf_event_open},
    {CAP_SYS_ADMIN, SYS_quotactl},
    {CAP_SYS_ADMIN, SYS_quotactl_fd},
    {CAP_SYS_ADMIN, SYS_setdomainname},
    {CAP_SYS_ADMIN, SYS_sethostname},
    {CAP_SYS_ADMIN, SYS_setns},
    {CAP_SYS_ADMIN, SYS_syslog},
    {CAP_SYS_ADMIN, SYS_umount2},
    {CAP_SYS_ADMIN, SYS_unshare},
    {CAP_SYS_BOOT, SYS_reboot},
    {CAP_SYS_MODULE, SYS_delete_module},
    {CAP_SYS_MODULE, SYS_finit_module},
    {CAP_SYS_MODULE, SYS_init_module},
    {CAP_SYS_PACCT, SYS_acct},
    {CAP_SYS_PTRACE, SYS_kcmp},
    {CAP_SYS_PTRACE, SYS_pidfd_getfd},
    {CAP_SYS_PTRACE, SYS_process_madvise},
    {CAP_SYS_PTRACE, SYS_process_vm_readv},
    {CAP_SYS_PTRACE, SYS_process_vm_writev},
    {CAP_SYS_PTRACE, SYS_ptrace},
    {CAP_SYS_RAWIO, SYS_ioperm},
    {CAP_SYS_RAWIO, SYS_iopl},
    {CAP_SYS_TIME, SYS_clock_settime},
    {CAP_SYS_TIME, SYS_settimeofday},
    {CAP_SYS_TTY_CONFIG, SYS_vhangup},
    {CAP_SYS_NICE, SYS_get_mempolicy},
    {CAP_SYS_NICE, SYS_mbind},
    {CAP_SYS_NICE, SYS_set_mempolicy},
    {CAP_SYS_NICE, SYS_set_mempolicy_home_node},
    {CAP_SYSLOG, SYS_syslog},
    {CAP_BPF, SYS_bpf},
    {CAP_PERFMON, SYS_perf_event_open},
};

// Two steps each call, and the four around them.
static_assert(std::size(kFilter) + 2 * std::size(kCapabilityCalls) + 4 <= BPF_MAXINSNS);

/// Allows what the capabilities bring and leaves the rest to the steps behind it.
std::vector<sock_filter> capability_prologue(CapabilitySet capabilities) {
  std::vector<sock_filter> calls;
  for (const CapabilityCall& call : kCapabilityCalls) {
    if ((capabilities >> call.capability & 1) == 0) continue;
    calls.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call.number, 0, 1));
    calls.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  if (calls.empty()) return calls;
  std::vector<sock_filter> steps{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(calls.size() + 1)),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  steps.insert(steps.end(), calls.begin(), calls.end());
  return steps;
}

}  // namespace

void install_default_seccomp_filter(CapabilitySet capabilities) {
  std::vector<sock_filter> steps = capability_prologue(capabilities);
  steps.insert(steps.end(), std::begin(kFilter), std::end(kFilter));
  const sock_fprog program{static_cast<unsigned short>(steps.size()), steps.data()};
  check(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "install the seccomp filter");
}

}  // namespace berth::tether
