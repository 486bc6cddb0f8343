#include "tether/network_jobs.hpp"

namespace berth::tether {

Task<bool> NetworkJobs::bring_up(os::Endpoints wanted) {
  for (auto& [key, endpoint] : wanted) {
    endpoint.assigned = {};
    endpoint.network.assigned = {};
  }
  return NewestJob::bring_up(std::move(wanted));
}

}  // namespace berth::tether
