#pragma once

#include <exception>
#include <functional>
#include <memory>

#include "base/async.hpp"
#include "tether/os/network_plan.hpp"

namespace berth::tether {

/// Networks on their way to be what configurations say: one at a time, the newest wins, and nobody waits
/// twice.
class NetworkJobs {
 public:
  /// Makes the machine's networks be these. May be cancelled where it waits; never runs twice at a time.
  using Apply = std::function<Task<>(const os::Endpoints&)>;

  NetworkJobs(const asio::any_io_executor& executor, Apply apply)
      : apply_(std::move(apply)), changed_(executor) {}

  /// Brings up the networks of a configuration, in the order of the calls. Whether the caller is to go on
  /// with what needs them: not when an earlier configuration waits for the same ones (returns at once), and
  /// not when a later one wants others (returns when these are there, or throws what these threw). Throws
  /// what applying throws, wrong-state after stop().
  Task<bool> bring_up(os::Endpoints wanted);
  /// Waits until none is under way.
  Task<> wait_settled();
  /// Gives up what is under way.
  void stop();

 private:
  struct Job {
    os::Endpoints wanted;  ///< without what was assigned
    bool done = false;
    std::exception_ptr failure;
  };
  bool is_wanted(const std::shared_ptr<Job>& job) const { return newest_ == job && !stopped_; }
  Task<> run(std::shared_ptr<Job> job);
  Task<> run_while_wanted(std::shared_ptr<Job> job);
  Task<> follow_newest();

  Apply apply_;
  std::shared_ptr<Job> newest_;
  bool in_use_ = false;
  bool stopped_ = false;
  Event changed_;
};

}  // namespace berth::tether
