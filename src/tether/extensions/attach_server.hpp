#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "link/ssh.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// "stdin" (or nothing) or "stdin,stdout,stderr"; throws invalid-argument for anything else.
AttachedStreams parse_attached_streams(std::string_view text);

/// What the server asks for whenever it needs it.
struct AttachSource {
  std::function<std::string()> host_key;  ///< PEM
  std::function<std::vector<std::string>()> authorized_keys;
  std::function<std::vector<std::string>()> user_keys;
  std::function<std::shared_ptr<Session>(const std::string& id)> find_session;  ///< throws not-found
  link::ssh::SessionHandler login;                                              ///< runs what a user asks for
  link::ssh::SessionHandler other_subsystem;                                    ///< throws unsupported
};

/// Serves SSH on the attach port, one connection after the other. Nothing is done before a client's first
/// byte. After a connection ended, the next one comes with a reset.
class AttachServer : public std::enable_shared_from_this<AttachServer> {
 public:
  AttachServer(const asio::any_io_executor& executor, UniqueFd port, AttachSource source);

  /// For good.
  Task<> run();
  /// Gives up the connection there is, to meet the host again at the token (link/resync.hpp). When this
  /// returns nothing else reads the port any more. Throws invalid-argument for what cannot be a token.
  Task<> reset(std::string token);
  /// Gives up the connection there is; nothing else is served before a reset.
  void drop();

 private:
  Task<> serve_next();
  Task<> meet_host();

  /// Watched by one at a time: whoever looks whether a virtio-serial port is readable takes a buffer out of
  /// its queue, and the interrupt of a buffer that was taken wakes nobody.
  UniqueFd port_;
  AttachSource source_;
  bool used_ = false;
  std::string token_;  ///< of a reset that has not begun yet
  Event reset_;
  Event meeting_;
};

}  // namespace berth::tether
