#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/async.hpp"
#include "base/unique_fd.hpp"
#include "tether/session/cgroup.hpp"
#include "tether/session/launch_failure.hpp"
#include "tether/session/process_plan.hpp"

namespace berth::tether {

/// Where a session's first process starts.
struct LaunchPlace {
  int cgroup = -1;     ///< directory of a cgroup v2
  std::string root;    ///< a container's mount point, for its first process
  int container = -1;  ///< or: a pidfd of the container's first process, for one more
};

/// A process in the cgroup, the namespaces and the root of a container, which waits for what it is to become
/// there. Killed and reaped, and its cgroup removed, unless a Launch takes it.
class WaitingProcess {
 public:
  WaitingProcess(const std::string& root, Cgroup cgroup);
  WaitingProcess(const WaitingProcess&) = delete;
  WaitingProcess& operator=(const WaitingProcess&) = delete;
  ~WaitingProcess();

  const std::filesystem::path& cgroup() const { return cgroup_.path(); }

  /// Waits until it has nothing more to do than to wait. Throws what kept it from that, Code::timeout past
  /// `limit`.
  Task<> ready(asio::any_io_executor executor, Milliseconds limit);
  /// Whether it lives, its container has no settings of its own, and the plan is not too long to be told.
  bool can_become(const ProcessPlan& plan) const;

 private:
  friend class Launch;
  Cgroup cgroup_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd channel_;
  UniqueFd mounts_;
};

/// A process on its way to its program. It is reaped by whoever owns it after started().
class Launch {
 public:
  /// The process exists when this returns. With `root` it is PID 1 of new namespaces.
  Launch(const asio::any_io_executor& executor, const ProcessPlan& plan, const LaunchPlace& place);
  /// The process is one that waited, which can become that.
  Launch(const asio::any_io_executor& executor, const ProcessPlan& plan,
         std::unique_ptr<WaitingProcess> waiting);
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  /// Kills and reaps the process unless it was taken.
  ~Launch();

  /// Waits until the program could be started: everything about it is checked. Throws LaunchError or Error
  /// with the reason the process gave, Code::timeout past `limit`.
  Task<> prepared(Milliseconds limit);
  /// With ProcessPlan::wait_for_go, after prepared(): lets the program start.
  void go();
  /// Waits until the program runs; throws like prepared().
  Task<> started(Milliseconds limit);

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }

  /// After started(): from now on the caller reaps.
  UniqueFd take_pidfd();
  UniqueFd standard_input;   ///< write end; none without ProcessPlan::standard_input
  UniqueFd standard_output;  ///< read end; none with a terminal
  UniqueFd standard_error;
  UniqueFd terminal;  ///< master; there once prepared
  /// Of a process that waited: with it the kernel need not take its mounts apart before it tells of its end.
  UniqueFd mounts;

 private:
  enum class Progress { preparing, ready, running, failed };
  Task<> wait_for(Progress wanted, std::string doing, Milliseconds limit);
  Task<> advance_to(Progress wanted);
  Progress receive();
  static LaunchError failure_of(std::string_view text);

  Launch(const asio::any_io_executor& executor, bool wait_for_go, WaitingProcess& waiting);

  struct StreamEnds {
    UniqueFd input, output, error;  ///< the child's
  };
  StreamEnds make_streams(const ProcessPlan& plan);

  using ChannelEnds = std::pair<UniqueFd, UniqueFd>;
  Launch(const asio::any_io_executor& executor, const ProcessPlan& plan, const LaunchPlace& place,
         ChannelEnds ends);

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  Stream channel_;
  Progress progress_ = Progress::preparing;
  std::optional<LaunchError> failure_;
  bool wait_for_go_;
};

}  // namespace berth::tether
