#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/random.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <iterator>

#include "base/error.hpp"
#include "tether/os/boot.hpp"

namespace berth::tether::os {
namespace {

/// From here on the kernel answers these two ioctls with these errors, or does nothing for 0.
bool answer_ioctls(unsigned add, unsigned reseed) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(RNDADDENTROPY), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | add),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(RNDRESEEDCRNG), 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | reseed),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// What add_entropy says in a process whose kernel answers so.
std::string outcome(unsigned add, unsigned reseed) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said = "done";
    if (!answer_ioctls(add, reseed)) {
      said = "no filter";
    } else {
      try {
        add_entropy(std::string(300, 'x'));
      } catch (const Error& error) {
        said = error.what();
      }
    }
    ::_exit(::write(ends[1], said.data(), said.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  char said[1024];
  const ssize_t size = ::read(ends[0], said, sizeof said);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return {said, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

TEST(Entropy, IsCreditedAndThenTheGeneratorReseeds) {
  EXPECT_EQ(outcome(0, 0), "done");
  EXPECT_NE(outcome(EPERM, 0).find("add entropy"), std::string::npos) << outcome(EPERM, 0);
  EXPECT_NE(outcome(0, EPERM).find("reseed"), std::string::npos) << outcome(0, EPERM);
  // Not before the bytes are in.
  EXPECT_NE(outcome(EPERM, EPERM).find("add entropy"), std::string::npos);
}

}  // namespace
}  // namespace berth::tether::os
