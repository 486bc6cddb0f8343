// Writes the tether's seccomp filter as initialisers of struct sock_filter. Runs on the build machine:
// compiling the profile in an emulated guest would cost more than starting a container.

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tether/session/seccomp_profile.hpp"

namespace {

using namespace berth::tether::seccomp;

void require(int result, const std::string& doing) {
  if (result >= 0) return;
  std::fprintf(stderr, "seccomp filter: %s: %s\n", doing.c_str(), std::strerror(-result));
  std::exit(1);
}

scmp_compare to_libseccomp(Comparison comparison) {
  switch (comparison) {
    case Comparison::equal:
      return SCMP_CMP_EQ;
    case Comparison::not_equal:
      return SCMP_CMP_NE;
    case Comparison::masked_equal:
      return SCMP_CMP_MASKED_EQ;
  }
  std::abort();
}

class Generator {
 public:
  Generator() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {
    if (context_ == nullptr) require(-ENOMEM, "make a filter");
    require(seccomp_arch_add(context_, SCMP_ARCH_X86), "add the 32-bit system calls");
    // x32 is not built into the guest's kernel: say so, as the kernel would.
    require(seccomp_attr_set(context_, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)),
            "set the answer to x32");
    require(seccomp_attr_set(context_, SCMP_FLTATR_CTL_OPTIMIZE, 2), "ask for a binary tree");
  }
  ~Generator() { seccomp_release(context_); }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  void add_profile() {
    for (const auto name : kAllowed) add(SCMP_ACT_ALLOW, name, {});
    for (const auto& rule : kAllowedArguments) {
      const scmp_arg_cmp comparison =
          rule.comparison == Comparison::masked_equal
              ? scmp_arg_cmp{rule.argument, to_libseccomp(rule.comparison), rule.mask, rule.value}
              : scmp_arg_cmp{rule.argument, to_libseccomp(rule.comparison), rule.value, 0};
      add(SCMP_ACT_ALLOW, rule.name, {comparison});
    }
    for (const auto name : kUnknownToContainers) add(SCMP_ACT_ERRNO(ENOSYS), name, {});
  }

  std::vector<sock_filter> program() const {
    const int file = ::memfd_create("filter", MFD_CLOEXEC);
    require(file, "make a file in memory");
    require(seccomp_export_bpf(context_, file), "export the filter");
    std::vector<sock_filter> filter(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)) /
                                    sizeof(sock_filter));
    const std::size_t size = filter.size() * sizeof(sock_filter);
    require(::pread(file, filter.data(), size, 0) == static_cast<ssize_t>(size) ? 0 : -EIO,
            "read the filter");
    ::close(file);
    return filter;
  }

  int newest() const { return newest_; }
  const std::vector<std::string>& unknown() const { return unknown_; }

 private:
  void add(std::uint32_t action, std::string_view name, const std::vector<scmp_arg_cmp>& comparisons) {
    const std::string text(name);
    const int number = seccomp_syscall_resolve_name(text.c_str());
    if (number == __NR_SCMP_ERROR) {
      unknown_.push_back(text);
      return;
    }
    newest_ = std::max(newest_, number);
    require(seccomp_rule_add_array(context_, action, number, static_cast<unsigned>(comparisons.size()),
                                   comparisons.data()),
            "add " + text);
  }

  scmp_filter_ctx context_;
  int newest_ = 0;
  std::vector<std::string> unknown_;
};

/// A system call newer than the profile gets ENOSYS instead of EPERM: programs then use what they used
/// before.
std::vector<sock_filter> newer_calls_prologue(int newest) {
  constexpr std::uint32_t kX32Bit = 0x40000000;
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<std::uint32_t>(newest), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  Generator generator;
  generator.add_profile();
  std::vector<sock_filter> filter = newer_calls_prologue(generator.newest());
  const std::vector<sock_filter> profile = generator.program();
  filter.insert(filter.end(), profile.begin(), profile.end());

  std::FILE* file = std::fopen(argv[1], "we");
  if (file == nullptr) require(-errno, argv[1]);
  for (const auto& step : filter) {
    std::fprintf(file, "{0x%04x, %u, %u, 0x%08x},\n", step.code, step.jt, step.jf, step.k);
  }
  if (std::fclose(file) != 0) require(-errno, argv[1]);

  std::string skipped;
  for (const auto& name : generator.unknown()) skipped += " " + name;
  std::printf("seccomp filter: %zu steps; this libseccomp does not know:%s\n", filter.size(),
              skipped.empty() ? " nothing" : skipped.c_str());
  return 0;
}
