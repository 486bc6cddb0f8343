#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/async.hpp"
#include "link/ssh.hpp"

namespace berth::link {

/// The host's end of the attach port. One SSH connection over it at a time, made when a channel is wanted,
/// and made anew after it broke. Lives in a shared_ptr.
class AttachPort : public std::enable_shared_from_this<AttachPort> {
 public:
  struct Keys {
    std::string client_private_key;
    std::string host_public_key;
  };
  /// Gives the guest the order verb::reset_attach with this token, and returns when it is acknowledged.
  using Reset = std::function<Task<>(std::string token)>;

  AttachPort(const asio::any_io_executor& executor, UniqueFd port, Keys keys, Reset reset);

  /// A session channel to the tether. A connection over which the guest does not answer is given up for a new
  /// one; throws timeout when it does not answer over that one either.
  Task<std::unique_ptr<ssh::Channel>> open(ssh::Request request);

  /// A TCP connection made in the guest; throws unavailable when nothing accepts it there.
  Task<std::unique_ptr<ssh::Channel>> forward(ssh::ForwardTarget target);

  /// The guest has served somebody else: the first connection of this end comes with a reset as well.
  void take_over() { used_ = true; }
  /// Breaks the connection there is; the next call of open() makes a new one.
  void drop_connection();
  /// Ends the port and whatever waits for it.
  void close();

 private:
  using Opening = std::function<Task<std::unique_ptr<ssh::Channel>>(ssh::Client&)>;
  Task<std::unique_ptr<ssh::Channel>> open_with(const Opening& opening);
  Task<std::unique_ptr<ssh::Channel>> open_once(const Opening& opening);
  Task<std::shared_ptr<ssh::Client>> connected_client();
  Task<> connect();
  Task<> resynchronise();

  Stream port_;
  Keys keys_;
  Reset reset_;
  std::shared_ptr<ssh::Client> client_;
  bool used_ = false;
  bool connecting_ = false;
  Event connected_;
};

}  // namespace berth::link
