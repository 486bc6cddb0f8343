#include "tether/os/worker.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/unique_fd.hpp"

namespace berth::tether::os {
namespace {

/// How long the death of one that may be held by a server is waited for.
constexpr int kPatienceMilliseconds = 500;

/// Kills and collects the child when the caller leaves early.
class Child {
 public:
  Child(pid_t pid, bool may_be_held) : pid_(pid), may_be_held_(may_be_held) {}
  ~Child() {
    ::kill(pid_, SIGKILL);
    if (!may_be_held_ || is_dead()) ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  bool is_dead() const {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    pollfd dead{process.get(), POLLIN, 0};
    return process && ::poll(&dead, 1, kPatienceMilliseconds) == 1;
  }

  pid_t pid_;
  bool may_be_held_;
};

[[noreturn]] void work_and_exit(int answer, const std::function<void()>& work) {
  ::prctl(PR_SET_NAME, "berth-worker");
  std::string text = "done";
  try {
    work();
  } catch (const Error& error) {
    text = fmt::format("{}\n{}", to_string(error.code()), error.what());
  } catch (const std::exception& error) {
    text = fmt::format("{}\n{}", to_string(Code::internal), error.what());
  }
  try {
    write_all(answer, text);
  } catch (const Error&) {
    // The caller has given up.
  }
  ::_exit(0);
}

Task<> read_answer(Stream& stream, std::string& text) {
  std::array<char, 4096> buffer;
  while (const std::size_t n = co_await stream.read_some(buffer.data(), buffer.size()))
    text.append(buffer.data(), n);
}

Task<> run(std::string what, Milliseconds limit, std::function<void()> work, bool may_be_held) {
  auto [reading, writing] = make_pipe();
  const pid_t pid = check(::fork(), "start a worker");
  if (pid == 0) work_and_exit(writing.get(), work);
  const Child child(pid, may_be_held);
  writing.reset();
  Stream stream(co_await asio::this_coro::executor, std::move(reading));
  std::string text;
  co_await with_deadline(limit, what, read_answer(stream, text));
  if (text == "done") co_return;
  const std::size_t end = text.find('\n');
  if (end == std::string::npos) throw Error(Code::internal, "{}: the worker was killed", what);
  Error error(code_from_string(text.substr(0, end)), text.substr(end + 1));
  error.add_context(what);
  throw error;
}

}  // namespace

Task<> run_in_worker(std::string what, Milliseconds limit, std::function<void()> work) {
  return run(std::move(what), limit, std::move(work), false);
}

Task<> run_in_lossy_worker(std::string what, Milliseconds limit, std::function<void()> work) {
  return run(std::move(what), limit, std::move(work), true);
}

}  // namespace berth::tether::os
