#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "link/ssh.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// What users run who log in by SSH: execs of the pod's container that no record knows.
class Logins {
 public:
  struct Source {
    Session::Surroundings surroundings;
    std::function<const config::SessionConfig&()> container;  ///< throws wrong-state when there is none
    std::function<SessionSpec(const std::string& id, const config::SessionConfig&)> make_spec;
  };

  explicit Logins(Source source) : source_(std::move(source)) {}

  /// Runs the user's shell, or by it the command of the request, until it or the channel ends. A terminal
  /// that goes away hangs up its processes.
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request);

 private:
  Source source_;
  std::size_t count_ = 0;
};

/// The exec that a login is.
config::SessionConfig login_session(const config::SessionConfig& container,
                                    const link::ssh::Request& request);

}  // namespace berth::tether
