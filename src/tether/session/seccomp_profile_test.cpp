#include "tether/session/seccomp_profile.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "tether/session/seccomp.hpp"

namespace berth::tether::seccomp {
namespace {

TEST(SeccompProfile, NamesAreSortedAndUnique) {
  EXPECT_TRUE(std::is_sorted(kAllowed.begin(), kAllowed.end()));
  EXPECT_EQ(std::adjacent_find(kAllowed.begin(), kAllowed.end()), kAllowed.end());
  for (const auto& rule : kAllowedArguments) {
    EXPECT_FALSE(std::binary_search(kAllowed.begin(), kAllowed.end(), rule.name)) << rule.name;
  }
}

/// errno of `call` in a process with the filter; 0 when it went well.
int filtered_errno(const std::function<long()>& call,
                   CapabilitySet capabilities = config::default_capabilities()) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(255);
    install_default_seccomp_filter(capabilities);
    ::_exit(call() == -1 ? errno : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

TEST(SeccompFilter, AllowsOrdinaryCalls) {
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_getpid); }), 0);
  EXPECT_EQ(filtered_errno([] { return ::socket(AF_UNIX, SOCK_STREAM, 0); }), 0);
  EXPECT_EQ(filtered_errno([] { return ::personality(0xffffffff); }), 0);
  EXPECT_EQ(filtered_errno([] { return ::fork() >= 0 ? 0 : -1; }), 0);
}

TEST(SeccompFilter, RefusesWhatDockerRefuses) {
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_mount, "a", "/not", "tmpfs", 0, nullptr); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::socket(AF_VSOCK, SOCK_STREAM, 0); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0); }), EPERM);
  EXPECT_EQ(filtered_errno([] { return ::personality(ADDR_NO_RANDOMIZE); }), EPERM);
}

TEST(SeccompFilter, AllowsWhatACapabilityIsFor) {
  const CapabilitySet admin = config::parse_capabilities({"SYS_ADMIN"});
  const auto mount = [] { return ::syscall(SYS_mount, nullptr, nullptr, nullptr, 0, nullptr); };
  const int refused_by_kernel = ::geteuid() == 0 ? EFAULT : EPERM;
  EXPECT_EQ(filtered_errno(mount, admin) == EPERM, refused_by_kernel == EPERM);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_clone3, nullptr, 0); }, admin), EINVAL);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_clone3, nullptr, 0); },
                           config::parse_capabilities({"SYS_PTRACE"})),
            ENOSYS);
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); }, ~CapabilitySet{0}), EPERM);
}

TEST(SeccompFilter, LooksLikeAnOlderKernelWhereProgramsFallBack) {
  EXPECT_EQ(filtered_errno([] { return ::syscall(SYS_clone3, nullptr, 0); }), ENOSYS);
  EXPECT_EQ(filtered_errno([] { return ::syscall(4000); }), ENOSYS);
}

}  // namespace
}  // namespace berth::tether::seccomp
