#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "base/process.hpp"
#include "link/ssh.hpp"
#include "tether/output_port.hpp"
#include "tether/session/cgroup.hpp"
#include "tether/session/launch.hpp"
#include "tether/session/process_plan.hpp"

namespace berth::tether {

/// What a session is started with.
struct SessionSpec {
  std::string id;
  ProcessPlan plan;
  std::string root;      ///< of a main session: the container's mount point
  UniqueFd container;    ///< of an exec: a pidfd of the container's first process
  Cgroup cgroup;         ///< its own
  Cgroup memory_cgroup;  ///< where its OOM kills are counted
  CgroupLimits limits;
  std::unique_ptr<WaitingProcess> waiting{};  ///< what becomes its first process, in the cgroup
};

/// How far a session has come; what the host is told of it.
struct SessionStatus {
  std::string started;  ///< empty: not yet; "true"; or why not (launch_failure)
  bool ended = false;   ///< nothing more will come, its output included
  ExitStatus exit;
  bool oom_killed = false;
  Nanoseconds start_time{};  ///< since 1970-01-01 UTC
  Nanoseconds stop_time{};

  bool running() const { return started == "true" && !ended; }
};

/// Which streams an SSH channel carries.
enum class AttachedStreams {
  input,  ///< output goes to the output port
  all,    ///< for a session that waits for its attach; nothing goes to the output port
  login,  ///< all, as sshd does it: the end of the channel's data ends the input, failures are written out
};

/// One process tree with its streams, from its launch to the end of its output.
class Session : public std::enable_shared_from_this<Session> {
 public:
  struct Surroundings {
    asio::any_io_executor executor;
    OutputPort& output;
    const Clock& clock;
    std::function<void(const Session&)> on_change;  ///< after each change of the status
  };

  /// `number` stands for the session in output records.
  Session(Surroundings surroundings, SessionSpec spec, std::uint16_t number);
  ~Session();

  /// The whole life. Failures of the launch end up in the status.
  Task<> run();

  /// Serves a channel until it or the session ends. Throws wrong-state when the session has ended, or runs
  /// already and `streams` is all.
  Task<> attach(std::shared_ptr<link::ssh::Channel> channel, AttachedStreams streams);

  /// To the first process, or to the whole tree. One that still waits for its start is cancelled by SIGKILL,
  /// SIGTERM and SIGINT. Throws wrong-state when there is no process.
  void signal(int number, bool whole_tree);
  void resize(WindowSize window);
  /// While held, nothing is read of the output: the process blocks when its pipes are full.
  void hold_output(bool held);

  /// Until the program runs or its start has failed; a session that waits for its attach counts as settled.
  Task<> wait_settled();
  Task<> wait_ended();

  const std::string& id() const { return spec_.id; }
  /// From now on; its cgroup keeps its path.
  void rename(std::string id) { spec_.id = std::move(id); }
  /// Whether it has begun to use the output port and not ended that.
  bool uses_output_port() const { return status_.running() && !output_channel_; }
  /// Whether nothing that it has written waits to be read for the output port, but for what is held.
  bool output_is_read() const;
  const SessionStatus& status() const { return status_; }
  Cgroup& cgroup() { return spec_.cgroup; }
  /// See Launch::mounts. Done by itself once the end has been told.
  void release_mounts();
  /// Of the first process; none when it has ended.
  int pidfd() const { return pidfd_.get(); }

 private:
  Task<> launch();
  Task<> wait_for_attach();
  Launch begin_launch();
  void adopt(Launch& launch);
  Task<> wait_process();
  void reap();
  Task<> drain();
  void fail(std::string reason);
  void changed();

  Task<> pump(std::shared_ptr<Stream> stream, link::OutputKind kind);
  Task<> deliver(link::OutputKind kind, OutputFrame& frame, std::size_t size);
  Task<> feed(std::shared_ptr<link::ssh::Channel> channel, std::shared_ptr<bool> input_ends);
  Task<> write_input(std::string_view bytes);
  Task<> end_input();
  Task<> close_after_end(std::shared_ptr<link::ssh::Channel> channel, AttachedStreams streams);

  Surroundings surroundings_;
  SessionSpec spec_;
  std::uint16_t number_;
  SessionStatus status_;
  Event changed_;

  UniqueFd pidfd_;
  UniqueFd ended_process_;
  UniqueFd mounts_;
  std::uint64_t oom_kills_before_ = 0;
  bool waiting_for_attach_ = false;
  bool attached_ = false;
  bool cancelled_ = false;
  bool held_ = false;
  bool drain_over_ = false;
  int pumps_ = 0;

  std::shared_ptr<Stream> standard_output_;  ///< or the terminal
  std::shared_ptr<Stream> standard_error_;
  std::shared_ptr<Stream> input_;
  bool input_busy_ = false;
  std::shared_ptr<link::ssh::Channel> output_channel_;
};

}  // namespace berth::tether
