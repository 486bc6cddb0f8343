#include "tether/network_jobs.hpp"

#include "base/error.hpp"

namespace berth::tether {

Task<bool> NetworkJobs::bring_up(os::Endpoints wanted) {
  config::forget_assigned(wanted);
  if (newest_ && !newest_->failure && newest_->wanted == wanted) co_return newest_->done;
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

Task<> NetworkJobs::run(std::shared_ptr<Job> job) {
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

Task<> NetworkJobs::run_while_wanted(std::shared_ptr<Job> job) {
  // Who listens to changes began before this; what changed earlier shows here.
  if (!is_wanted(job)) throw Error(Code::conflict, "another configuration has come");
  co_await apply_(job->wanted);
}

Task<> NetworkJobs::follow_newest() {
  while (!newest_->done && !stopped_) co_await changed_.wait();
  if (stopped_) throw Error(Code::wrong_state, "the machine is being switched off");
  if (newest_->failure) std::rethrow_exception(newest_->failure);
}

Task<> NetworkJobs::wait_settled() {
  while (newest_ && !newest_->done && !stopped_) co_await changed_.wait();
}

void NetworkJobs::stop() {
  stopped_ = true;
  changed_.notify_all();
}

}  // namespace berth::tether
