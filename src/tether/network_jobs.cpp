#include "tether/network_jobs.hpp"

namespace berth::tether {

Task<bool> NetworkJobs::bring_up(os::Endpoints wanted) {
  config::forget_assigned(wanted);
  return NewestJob::bring_up(std::move(wanted));
}

}  // namespace berth::tether
