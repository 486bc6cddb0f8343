#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"

namespace berth::link::ssh {

struct KeyPair {
  std::string private_key;  ///< OpenSSH PEM, no passphrase
  std::string public_key;   ///< "ssh-ed25519 AAAA..."
};

/// A fresh ed25519 pair.
KeyPair generate_key();

struct Terminal {
  std::string name = "xterm";
  std::int32_t columns = 80;
  std::int32_t rows = 24;
};

/// What a client asks a session channel for (RFC 4254, 6.2, 6.4, 6.5).
struct Request {
  std::string user;  ///< server: who has logged in
  std::map<std::string, std::string> environment;
  std::optional<Terminal> terminal;
  std::string subsystem;  ///< or
  std::string command;    ///< exactly one of the two, or neither for a shell

  /// Of the environment; empty when it is not set.
  std::string variable(std::string_view name) const {
    const auto found = environment.find(std::string(name));
    return found != environment.end() ? found->second : std::string();
  }
};

/// Where a forwarded connection goes (RFC 4254, 7.2).
struct ForwardTarget {
  std::string host;
  std::uint16_t port = 0;
};

/// How the remote process ended (RFC 4254, 6.10).
/// Keep it in a variable before passing it on: g++ 12 destroys an aggregate made inside a co_await expression
/// twice.
struct Exit {
  std::int32_t code = 0;
  std::string signal;  ///< name without SIG when a signal ended it
  bool core_dumped = false;
};

/// The names of an attach channel: a session channel with this subsystem and these variables.
inline constexpr std::string_view kAttachSubsystem = "berth.attach";
inline constexpr std::string_view kAttachSession = "BERTH_SESSION";  ///< the session's id
inline constexpr std::string_view kAttachStreams = "BERTH_STREAMS";  ///< "stdin" or "stdin,stdout,stderr"
/// A session channel with this subsystem carries an SSH connection of its own: a user's login.
inline constexpr std::string_view kLoginSubsystem = "berth.ssh";
/// A private signal (RFC 4254, 6.9) in front of the end of the data: that end is the end of the session's
/// input. Without it the client has only detached: a closing client ends its data too.
inline constexpr const char* kCloseInput = "close-input@berth";

class Connection;

/// One session channel. Belongs to the loop of its connection; every wait ends with an Error when that
/// breaks.
class Channel {
 public:
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// At least one byte of the peer's data; 0 at its end. Unread data holds back the peer (the channel's
  /// window). Reads and writes leave the loop to others each time, also when they fail at once.
  Task<std::size_t> read_some(char* buffer, std::size_t size, bool error_stream = false);
  /// Waits for the peer's window.
  Task<> write_all(std::string_view bytes, bool error_stream = false);
  Task<> send_end();
  /// Waits until there is data on one of the streams, their end, or a change below.
  Task<> wait_change();

  /// Client: the exit message once it came.
  const std::optional<Exit>& exit() const;
  bool closed() const;  ///< the peer has closed the channel

  // Client to server.
  Task<> send_window_change(std::int32_t columns, std::int32_t rows);
  Task<> send_signal(const std::string& name_without_sig);
  /// Of an attach channel: ends the session's input behind what was written (kCloseInput, and the end of the
  /// data).
  Task<> close_input();
  // Server to client.
  Task<> send_exit(const Exit& exit);
  Task<> close();

  /// Server: called on the loop for requests after the start; must not block.
  std::function<void(std::int32_t columns, std::int32_t rows)> on_window_change;
  std::function<void(std::string_view name_without_sig)> on_signal;

  struct State;

 private:
  friend class Connection;
  friend class Client;
  explicit Channel(std::shared_ptr<State> state);
  void watch();
  std::shared_ptr<State> state_;
};

/// The host's end.
class Client {
 public:
  /// Handshake over `stream`: the guest must hold the private key of `host_public_key`.
  static Task<std::unique_ptr<Client>> connect(UniqueFd stream, const std::string& private_key,
                                               const std::string& host_public_key, Milliseconds limit);
  ~Client();
  Task<std::unique_ptr<Channel>> open(const Request& request, Milliseconds limit);
  /// A connection made at the server's side; throws unavailable when it refuses or nothing listens there.
  Task<std::unique_ptr<Channel>> forward(const ForwardTarget& target, Milliseconds limit);
  /// False once the connection broke.
  bool connected() const;
  /// Breaks the connection: every wait on it ends with an Error.
  void close();

 private:
  explicit Client(std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> connection_;
};

struct ServerOptions {
  std::string host_private_key;
  std::vector<std::string> authorized_keys;
  /// The connection that a client asks to be forwarded to; throws when there is none. Must not block. Absent:
  /// nothing is forwarded.
  std::function<UniqueFd(const ForwardTarget&)> connect;
};

/// Runs one session channel to its end; an Error it throws closes the channel.
using SessionHandler = std::function<Task<>(std::shared_ptr<Channel> channel, Request request)>;

/// The guest's end: serves one connection over `stream` until it breaks.
Task<> serve(UniqueFd stream, ServerOptions options, SessionHandler handler);

}  // namespace berth::link::ssh
