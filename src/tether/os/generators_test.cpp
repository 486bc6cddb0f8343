#include "tether/os/generators.hpp"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <openssl/rand.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/async.hpp"
#include "base/io.hpp"
#include "link/ssh.hpp"

namespace berth::tether::os {
namespace {

template <std::size_t size>
bool set_filter(sock_filter (&filter)[size]) {
  const sock_fprog program{static_cast<unsigned short>(size), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// OpenSSL reseeds in a process with another id, and no clone of a machine has one: from here on every
/// process has the id 0.
bool hide_differences() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpid, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return set_filter(filter);
}

/// From here on the kernel gives no random numbers.
bool close_generator() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrandom, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  return set_filter(filter);
}

/// What `say` says in a process of its own.
std::string said_by_process(const std::function<std::string()>& say) {
  auto [reading, writing] = make_pipe();
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string said = say();
    ::_exit(::write(writing.get(), said.data(), said.size()) < 0 ? 1 : 0);
  }
  writing.reset();
  std::string said(4096, '\0');
  const ssize_t size = ::read(reading.get(), said.data(), said.size());
  ::waitpid(child, nullptr, 0);
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return said;
}

constexpr std::size_t kDraw = 32;

/// What a copy of the calling process draws: public numbers, then private ones, a key of SSH.
std::array<std::string, 3> draw_in_copy() {
  const std::string drawn = said_by_process([] {
    std::array<unsigned char, 2 * kDraw> bytes{};
    const bool done =
        ::RAND_bytes(bytes.data(), kDraw) == 1 && ::RAND_priv_bytes(bytes.data() + kDraw, kDraw) == 1;
    return done ? std::string(bytes.begin(), bytes.end()) + link::ssh::generate_key().public_key : "";
  });
  if (drawn.size() <= 2 * kDraw) return {};
  return {drawn.substr(0, kDraw), drawn.substr(kDraw, kDraw), drawn.substr(2 * kDraw)};
}

/// How much of what two copies of one process draw is equal: "all", "nothing", "something".
std::string equal_draws(bool uses_kernel) {
  return said_by_process([uses_kernel]() -> std::string {
    unsigned char first = 0;
    if (!hide_differences() || ::RAND_bytes(&first, 1) != 1 || ::RAND_priv_bytes(&first, 1) != 1)
      return "cannot be tried";
    if (uses_kernel) use_kernel_generator();
    const auto one = draw_in_copy();
    const auto other = draw_in_copy();
    if (one[0].empty()) return "nothing was drawn";
    std::size_t equal = 0;
    for (std::size_t i = 0; i < one.size(); ++i) equal += one[i] == other[i] ? 1 : 0;
    return equal == one.size() ? "all" : equal == 0 ? "nothing" : "something";
  });
}

TEST(Generators, OfCopiesDrawTheSameUnlessTheyAreTheKernels) {
  EXPECT_EQ(equal_draws(false), "all");
  EXPECT_EQ(equal_draws(true), "nothing");
}

/// How a process fares as an SSH server whose client is this one.
std::string serve_in_process(bool has_numbers) {
  const link::ssh::KeyPair host = link::ssh::generate_key();
  const link::ssh::KeyPair user = link::ssh::generate_key();
  auto [near_end, far_end] = make_socket_pair();
  asio::io_context loop;
  const pid_t child = ::fork();
  if (child == 0) {
    near_end.reset();
    use_kernel_generator();
    if (!has_numbers && !close_generator()) ::_exit(1);
    const auto ignore = [](std::shared_ptr<link::ssh::Channel>, link::ssh::Request) -> Task<> { co_return; };
    asio::io_context own_loop;
    spawn_detached(own_loop.get_executor(), "server",
                   link::ssh::serve(std::move(far_end), {host.private_key, {user.public_key}, {}}, ignore));
    own_loop.run_for(std::chrono::seconds(20));
    ::_exit(0);
  }
  far_end.reset();
  std::string said = "nothing";
  asio::co_spawn(loop,
                 link::ssh::Client::connect(std::move(near_end), user.private_key, host.public_key,
                                            Milliseconds(20'000)),
                 [&said](std::exception_ptr failure, const std::unique_ptr<link::ssh::Client>&) {
                   said = failure ? "failed" : "connected";
                 });
  loop.run_for(std::chrono::seconds(30));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return said;
}

TEST(Generators, WithoutTheKernelsNothingIsDrawnAndNobodyConnects) {
  const std::string outcome = said_by_process([]() -> std::string {
    use_kernel_generator();
    unsigned char byte = 0;
    if (::RAND_bytes(&byte, 1) != 1) return "the kernel gives nothing";
    if (!close_generator()) return "cannot be tried";
    const bool drawn = ::RAND_bytes(&byte, 1) == 1 || ::RAND_priv_bytes(&byte, 1) == 1;
    return drawn ? "drawn" : "refused";
  });
  EXPECT_EQ(outcome, "refused");
  EXPECT_EQ(serve_in_process(true), "connected");
  EXPECT_EQ(serve_in_process(false), "failed");
}

}  // namespace
}  // namespace berth::tether::os
