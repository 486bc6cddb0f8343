#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/async.hpp"
#include "base/error.hpp"

namespace berth::tether {

/// Work that makes something of the machine be what configurations say and may have to wait for devices: one
/// job at a time, the newest wins, and nobody waits twice.
template <typename Wanted>
class NewestJob {
 public:
  /// Makes it be so. May be cancelled where it waits; never runs twice at a time.
  using Apply = std::function<Task<>(const Wanted&)>;

  NewestJob(const asio::any_io_executor& executor, Apply apply)
      : apply_(std::move(apply)), changed_(executor) {}

  /// Applies what a configuration wants, in the order of the calls. Whether the caller is to go on with what
  /// needs it: not when an earlier configuration waits for the same (returns at once), and not when a later
  /// one wants something else (returns when that is there, or throws what that threw). Throws what applying
  /// throws, wrong-state after stop().
  Task<bool> bring_up(Wanted wanted) {
    if (newest_ && !newest_->failure && !newest_->stale && newest_->wanted == wanted) co_return newest_->done;
    const auto job = std::make_shared<Job>();
    job->wanted = std::move(wanted);
    newest_ = job;
    changed_.notify_all();
    while (in_use_ && is_wanted(job)) co_await changed_.wait();
    co_await run(job);
    if (!job->done) co_await follow_newest();
    if (job->failure) std::rethrow_exception(job->failure);
    co_return job->done;
  }
  /// The machine is no longer as it was made: what a configuration wants next is made even if it is the same.
  void invalidate() {
    if (newest_) newest_->stale = true;
  }
  /// Waits until none is under way.
  Task<> wait_settled() {
    while (newest_ && !newest_->done && !stopped_) co_await changed_.wait();
  }
  /// Gives up what is under way; `reason` goes into the error of those who wait for it.
  void stop(std::string reason = "the machine is being switched off") {
    stopped_ = true;
    stop_reason_ = std::move(reason);
    changed_.notify_all();
  }
  /// Returns when nothing is being applied any more; after stop(), soon.
  Task<> wait_idle() {
    while (in_use_) co_await changed_.wait();
  }

 private:
  struct Job {
    Wanted wanted;
    bool done = false;
    bool stale = false;
    std::exception_ptr failure;
  };
  bool is_wanted(const std::shared_ptr<Job>& job) const { return newest_ == job && !stopped_; }

  Task<> run(std::shared_ptr<Job> job) {
    while (!job->done && is_wanted(job)) {
      in_use_ = true;
      try {
        job->done = co_await run_until(changed_, run_while_wanted(job));
      } catch (...) {
        job->done = is_wanted(job);
        if (job->done) job->failure = std::current_exception();
      }
      in_use_ = false;
      changed_.notify_all();
    }
  }

  Task<> run_while_wanted(std::shared_ptr<Job> job) {
    // Who listens to changes began before this; what changed earlier shows here.
    if (!is_wanted(job)) throw Error(Code::conflict, "another configuration has come");
    co_await apply_(job->wanted);
  }

  Task<> follow_newest() {
    while (!newest_->done && !stopped_) co_await changed_.wait();
    if (stopped_) throw Error(Code::wrong_state, "{}", stop_reason_);
    if (newest_->failure) std::rethrow_exception(newest_->failure);
  }

  Apply apply_;
  std::shared_ptr<Job> newest_;
  bool in_use_ = false;
  bool stopped_ = false;
  std::string stop_reason_;
  Event changed_;
};

}  // namespace berth::tether
