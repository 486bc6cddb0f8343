#pragma once

#include <memory>
#include <string>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "link/ssh.hpp"
#include "tether/files/copy_child.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// How a machine is left.
enum class Leave { power_off, reboot };

/// What extensions may ask of the tether; it outlives them.
class Pod {
 public:
  virtual ~Pod() = default;

  virtual const asio::any_io_executor& executor() const = 0;
  /// Throws not-found, and wrong-state for one that did not start.
  virtual std::shared_ptr<Session> session(const std::string& id) const = 0;
  /// The container that a login goes to. Throws wrong-state when none runs.
  virtual const config::SessionConfig& running_container() const = 0;
  /// What a session of such a configuration is. Throws invalid-argument for what cannot be, and wrong-state
  /// when the container that it is for does not run.
  virtual SessionSpec make_session_spec(const std::string& id, const config::SessionConfig& config) = 0;
  /// A session that no configuration names and the host is told nothing of: run() it.
  virtual std::shared_ptr<Session> make_session(SessionSpec spec) = 0;
  /// Where copies into and out of a container go. Throws not-found.
  virtual CopyPlace copy_place(const std::string& container) const = 0;
  /// A channel for a subsystem of whichever extension has it.
  virtual Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) = 0;
  /// The orderly end of everything; when it returns, the answer to the order can go out.
  virtual Task<> leave(Leave how) = 0;
  /// The containers go on: what was held back for a copy of the machine leaves.
  virtual void go_on() = 0;
};

}  // namespace berth::tether
