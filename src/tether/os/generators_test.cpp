#include "tether/os/generators.hpp"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/rand.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>

namespace berth::tether::os {
namespace {

/// OpenSSL reseeds in a process with another id, and no clone of a machine has one: from here on every
/// process has the id 0.
bool hide_differences() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

using Draw = std::array<unsigned char, 64>;  // public, then private

Draw draw() {
  Draw drawn{};
  if (::RAND_bytes(drawn.data(), 32) != 1 || ::RAND_priv_bytes(drawn.data() + 32, 32) != 1) ::_exit(1);
  return drawn;
}

/// What a copy of the calling process draws.
Draw draw_in_copy(std::string_view entropy) {
  int ends[2];
  if (::pipe(ends) != 0) ::_exit(1);
  const pid_t child = ::fork();
  if (child == 0) {
    if (!entropy.empty()) reseed_generators(entropy);
    const Draw drawn = draw();
    ::_exit(::write(ends[1], drawn.data(), drawn.size()) == static_cast<ssize_t>(drawn.size()) ? 0 : 1);
  }
  Draw drawn{};
  if (::read(ends[0], drawn.data(), drawn.size()) != static_cast<ssize_t>(drawn.size())) ::_exit(1);
  ::waitpid(child, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
  return drawn;
}

/// Which parts of what two copies of one process draw are equal: "both", "none", "public", "private".
std::string equal_parts(std::string_view one, std::string_view other) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  const pid_t child = ::fork();
  if (child == 0) {
    std::string said = "no filter";
    if (hide_differences()) {
      draw();
      const Draw a = draw_in_copy(one);
      const Draw b = draw_in_copy(other);
      const bool first = std::equal(a.begin(), a.begin() + 32, b.begin());
      const bool second = std::equal(a.begin() + 32, a.end(), b.begin() + 32);
      said = first && second ? "both" : first ? "public" : second ? "private" : "none";
    }
    ::_exit(::write(ends[1], said.data(), said.size()) < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  char said[32];
  const ssize_t size = ::read(ends[0], said, sizeof said);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return {said, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

TEST(Generators, OfCopiesDrawTheSameUntilTheyAreReseeded) {
  EXPECT_EQ(equal_parts("", ""), "both");
  EXPECT_EQ(equal_parts("entropy of one copy", "entropy of another"), "none");
  EXPECT_EQ(equal_parts("entropy of one copy", ""), "none");
}

}  // namespace
}  // namespace berth::tether::os
