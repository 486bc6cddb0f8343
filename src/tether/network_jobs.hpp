#pragma once

#include "base/async.hpp"
#include "tether/newest_job.hpp"
#include "tether/os/network_plan.hpp"

namespace berth::tether {

/// Networks on their way to be what configurations say.
class NetworkJobs : public NewestJob<os::Endpoints> {
 public:
  using NewestJob::NewestJob;

  /// What was assigned makes no difference.
  Task<bool> bring_up(os::Endpoints wanted);
};

}  // namespace berth::tether
