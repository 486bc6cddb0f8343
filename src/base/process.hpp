#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/read_only_opens.hpp"
#include "base/unique_fd.hpp"

namespace berth {

/// How a process ended.
struct ExitStatus {
  int code = 0;    ///< exit code when it was not a signal
  int signal = 0;  ///< the signal that ended it, or 0
  bool core_dumped = false;

  bool success() const { return code == 0 && signal == 0; }
  /// As a shell says it: the code, or 128 plus the signal.
  int shell_code() const { return signal != 0 ? 128 + signal : code; }
  /// "exited with 3", "was ended by SIGKILL".
  std::string describe() const;
};

/// User and group a child runs as; used only by root.
struct Credentials {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  /// Capabilities (CAP_* numbers) that survive the change of user.
  std::vector<int> ambient_capabilities;
};

/// What to run; building one is a pure function, so that arguments can be tested without running anything.
struct ProcessSpec {
  std::filesystem::path program;       ///< absolute, or looked up with find_program
  std::vector<std::string> arguments;  ///< without argv[0]
  /// Nothing: the caller's environment.
  std::optional<std::vector<std::string>> environment;
  std::filesystem::path directory;  ///< empty: the caller's

  /// Descriptors of the caller, still owned by it; -1 is /dev/null.
  int standard_input = -1;
  int standard_output = -1;
  int standard_error = 2;
  /// (descriptor of the caller, its number in the child). All others are closed in the child.
  std::vector<std::pair<int, int>> descriptors;
  /// Numbers in the child of `descriptors` that can only be read. When the child opens /proc/self/fd/NUMBER
  /// with exactly O_RDWR, it gets such a descriptor, in this one's place, from whoever has
  /// Process::take_read_only_opens(). fallocate(2) of them does nothing and succeeds.
  /// Needs no_new_privileges; not for `run`.
  std::vector<int> opened_read_only;

  bool new_session = false;
  /// Signal the child gets when the thread that started it ends; 0 for none.
  int parent_death_signal = 0;
  bool no_new_privileges = false;
  std::optional<Credentials> credentials;
};

/// A running child. Destroying it kills and reaps the child unless it was released.
class Process {
 public:
  /// Starts it; a program that cannot be started is an Error here, never an exit code. Code::unsupported when
  /// the spec has `opened_read_only` and this host cannot do that.
  static Process spawn(const ProcessSpec& spec);

  Process(Process&&) noexcept = default;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const { return pid_; }
  /// Readable when the child has ended.
  int pidfd() const { return pidfd_.get(); }
  /// Another such descriptor; only until the child has been waited for.
  UniqueFd open_pidfd() const;
  /// Sends a signal; a child that has ended is fine.
  void signal(int number);
  /// Blocks until the end.
  ExitStatus wait();
  /// The exit status once the child has ended, without blocking.
  std::optional<ExitStatus> try_wait();
  /// Blocks up to `limit`.
  std::optional<ExitStatus> wait_for(std::chrono::milliseconds limit);
  /// Once, for a spec with `opened_read_only`: until it is answered (answer_opens), every open(2) with
  /// exactly O_RDWR waits, and once it is destroyed they fail with ENOSYS. Keep it for as long as the child
  /// lives.
  ReadOnlyOpens take_read_only_opens();
  /// The child goes on without this object; somebody else reaps it.
  void release();

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<ExitStatus> status_;
  std::optional<ReadOnlyOpens> read_only_opens_;
};

/// What /proc says of a process: its start time in clock ticks since the boot, or 0 when there is none.
std::uint64_t process_start_ticks(pid_t pid);

struct RunResult {
  ExitStatus status;
  std::string output;        ///< standard output
  std::string error_output;  ///< standard error
};

/// Runs to the end with both outputs captured (each bounded to 64 MiB) and `input` on standard input.
/// The spec's standard descriptors are ignored. Throws Code::timeout, after killing the child, past `limit`.
RunResult run(const ProcessSpec& spec, std::chrono::milliseconds limit, std::string_view input = {});

/// As run, and a failing exit is an Error that carries the last lines of standard error.
RunResult run_checked(const ProcessSpec& spec, std::chrono::milliseconds limit, std::string_view input = {});

}  // namespace berth
