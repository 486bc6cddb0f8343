#include "tether/session/capabilities.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>

#include "base/error.hpp"

namespace berth::tether {
namespace {

constexpr std::array<std::string_view, CAP_LAST_CAP + 1> kNames{"CHOWN",
                                                                "DAC_OVERRIDE",
                                                                "DAC_READ_SEARCH",
                                                                "FOWNER",
                                                                "FSETID",
                                                                "KILL",
                                                                "SETGID",
                                                                "SETUID",
                                                                "SETPCAP",
                                                                "LINUX_IMMUTABLE",
                                                                "NET_BIND_SERVICE",
                                                                "NET_BROADCAST",
                                                                "NET_ADMIN",
                                                                "NET_RAW",
                                                                "IPC_LOCK",
                                                                "IPC_OWNER",
                                                                "SYS_MODULE",
                                                                "SYS_RAWIO",
                                                                "SYS_CHROOT",
                                                                "SYS_PTRACE",
                                                                "SYS_PACCT",
                                                                "SYS_ADMIN",
                                                                "SYS_BOOT",
                                                                "SYS_NICE",
                                                                "SYS_RESOURCE",
                                                                "SYS_TIME",
                                                                "SYS_TTY_CONFIG",
                                                                "MKNOD",
                                                                "LEASE",
                                                                "AUDIT_WRITE",
                                                                "AUDIT_CONTROL",
                                                                "SETFCAP",
                                                                "MAC_OVERRIDE",
                                                                "MAC_ADMIN",
                                                                "SYSLOG",
                                                                "WAKE_ALARM",
                                                                "BLOCK_SUSPEND",
                                                                "AUDIT_READ",
                                                                "PERFMON",
                                                                "BPF",
                                                                "CHECKPOINT_RESTORE"};

constexpr CapabilitySet bit(int number) {
  return CapabilitySet{1} << number;
}

int capability_number(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string_view bare = upper;
  if (bare.starts_with("CAP_")) bare.remove_prefix(4);
  const auto found = std::find(kNames.begin(), kNames.end(), bare);
  if (found == kNames.end()) throw Error(Code::invalid_argument, "there is no capability \"{}\"", name);
  return static_cast<int>(found - kNames.begin());
}

}  // namespace

CapabilitySet default_capabilities() {
  return bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FSETID) | bit(CAP_FOWNER) | bit(CAP_MKNOD) |
         bit(CAP_NET_RAW) | bit(CAP_SETGID) | bit(CAP_SETUID) | bit(CAP_SETFCAP) | bit(CAP_SETPCAP) |
         bit(CAP_NET_BIND_SERVICE) | bit(CAP_SYS_CHROOT) | bit(CAP_KILL) | bit(CAP_AUDIT_WRITE);
}

CapabilitySet parse_capabilities(const std::vector<std::string>& names) {
  CapabilitySet set = 0;
  for (const std::string& name : names) set |= bit(capability_number(name));
  return set;
}

void limit_bounding_set(CapabilitySet capabilities) {
  // A newer kernel may know more than our headers: go on until it says that there is none.
  for (int number = 0; number < 64; ++number) {
    if ((capabilities & bit(number)) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL && number > CAP_LAST_CAP) return;
    throw errno_error("limit the bounding capabilities");
  }
}

void set_capabilities(CapabilitySet capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto word = static_cast<std::uint32_t>(capabilities >> (32 * i));
    data[i] = {word, word, 0};
  }
  check(::syscall(SYS_capset, &header, data.data()), "set the capabilities");
  check(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear the ambient capabilities");
}

}  // namespace berth::tether
