#pragma once

#include <cstddef>
#include <memory>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "link/ssh.hpp"
#include "tether/pod.hpp"

namespace berth::tether {

/// What users run who log in by SSH: execs of the pod's container that no record knows.
class Logins {
 public:
  explicit Logins(Pod& pod) : pod_(pod) {}

  /// Runs the user's shell, or by it the command of the request, until it or the channel ends. A terminal
  /// that goes away hangs up its processes.
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request);

 private:
  Pod& pod_;
  std::size_t count_ = 0;
};

/// The exec that a login is.
config::SessionConfig login_session(const config::SessionConfig& container,
                                    const link::ssh::Request& request);

}  // namespace berth::tether
