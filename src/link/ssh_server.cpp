#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/server.h>

#include <boost/asio/this_coro.hpp>

#include "base/counted.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "link/splice.hpp"
#include "link/ssh_algorithms.hpp"
#include "link/ssh_connection.hpp"

namespace berth::link::ssh {
namespace {

constexpr Milliseconds kHandshakeLimit{30'000};
constexpr std::size_t kChannelsAtOnce = 256;
constexpr std::size_t kEnvironmentLimit = 64;
constexpr std::size_t kTextLimit = 64u << 10;

class Server;

/// A channel between its opening and the request that starts it, and after that for window changes and
/// signals.
struct Session {
  Server* server = nullptr;
  ssh_channel channel = nullptr;
  Request request;
  std::shared_ptr<Channel> started;
  ssh_channel_callbacks_struct callbacks{};
};

class Server {
 public:
  Server(std::shared_ptr<Connection> connection, const ServerOptions& options, SessionHandler handler)
      : connection_(std::move(connection)), options_(options), handler_(std::move(handler)) {}

  Task<> run(ssh_bind bind);

 private:
  void install_callbacks();
  bool authorized(ssh_key key) const;
  ssh_channel open_channel();
  int begin(Session& session);
  void forward(ssh_message message);
  void forget(Session* session);

  static int on_auth(ssh_session, const char* user, ssh_key key, char state, void* self);
  static ssh_channel on_open(ssh_session, void* self);
  static int on_message(ssh_session, ssh_message message, void* self);
  static int on_environment(ssh_session, ssh_channel, const char* name, const char* value, void* session);
  static int on_terminal(ssh_session, ssh_channel, const char* name, int columns, int rows, int, int,
                         void* session);
  static int on_window_change(ssh_session, ssh_channel, int columns, int rows, int, int, void* session);
  static int on_subsystem(ssh_session, ssh_channel, const char* name, void* session);
  static int on_command(ssh_session, ssh_channel, const char* command, void* session);
  static int on_shell(ssh_session, ssh_channel, void* session);
  static void on_signal(ssh_session, ssh_channel, const char* name, void* session);

  std::shared_ptr<Connection> connection_;
  const ServerOptions& options_;
  SessionHandler handler_;
  ssh_server_callbacks_struct callbacks_{};
  std::map<ssh_channel, std::unique_ptr<Session>> sessions_;
  std::shared_ptr<std::size_t> forwarded_ = std::make_shared<std::size_t>(0);  ///< connections there are
  bool authenticated_ = false;
  std::string user_;
};

bool Server::authorized(ssh_key key) const {
  char* text = nullptr;
  if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK) return false;
  const std::string shown(text);
  ssh_string_free_char(text);
  for (const std::string& line : options_.authorized_keys) {
    const std::vector<std::string> words = split(trim(line), ' ');
    if (words.size() >= 2 && words[0] == ssh_key_type_to_char(ssh_key_type(key)) && words[1] == shown)
      return true;
  }
  return false;
}

int Server::on_auth(ssh_session, const char* user, ssh_key key, char state, void* self) {
  auto& server = *static_cast<Server*>(self);
  if (!server.authorized(key)) return SSH_AUTH_DENIED;
  if (state == SSH_PUBLICKEY_STATE_VALID) {
    server.authenticated_ = true;
    server.user_ = user;
  }
  return state == SSH_PUBLICKEY_STATE_VALID || state == SSH_PUBLICKEY_STATE_NONE ? SSH_AUTH_SUCCESS
                                                                                 : SSH_AUTH_DENIED;
}

ssh_channel Server::on_open(ssh_session, void* self) {
  return static_cast<Server*>(self)->open_channel();
}

ssh_channel Server::open_channel() {
  if (!authenticated_ || sessions_.size() >= kChannelsAtOnce) return nullptr;
  ssh_channel channel = ssh_channel_new(connection_->session());
  if (channel == nullptr) return nullptr;
  auto session = std::make_unique<Session>();
  session->server = this;
  session->channel = channel;
  session->request.user = user_;
  ssh_channel_callbacks_struct& callbacks = session->callbacks;
  callbacks.userdata = session.get();
  callbacks.channel_env_request_function = on_environment;
  callbacks.channel_pty_request_function = on_terminal;
  callbacks.channel_pty_window_change_function = on_window_change;
  callbacks.channel_subsystem_request_function = on_subsystem;
  callbacks.channel_exec_request_function = on_command;
  callbacks.channel_shell_request_function = on_shell;
  callbacks.channel_signal_function = on_signal;
  ssh_callbacks_init(&callbacks);
  ssh_set_channel_callbacks(channel, &callbacks);
  sessions_.emplace(channel, std::move(session));
  return channel;
}

int Server::on_environment(ssh_session, ssh_channel, const char* name, const char* value, void* user) {
  Session& session = *static_cast<Session*>(user);
  auto& environment = session.request.environment;
  if (environment.size() >= kEnvironmentLimit || std::string_view(value).size() > kTextLimit) return -1;
  environment.insert_or_assign(name, value);
  return 0;
}

int Server::on_terminal(ssh_session, ssh_channel, const char* name, int columns, int rows, int, int,
                        void* user) {
  static_cast<Session*>(user)->request.terminal = Terminal{name, columns, rows};
  return 0;
}

int Server::on_window_change(ssh_session, ssh_channel, int columns, int rows, int, int, void* user) {
  Session& session = *static_cast<Session*>(user);
  if (session.started && session.started->on_window_change) session.started->on_window_change(columns, rows);
  return 0;
}

void Server::on_signal(ssh_session, ssh_channel, const char* name, void* user) {
  Session& session = *static_cast<Session*>(user);
  if (session.started && session.started->on_signal) session.started->on_signal(name);
}

int Server::on_subsystem(ssh_session, ssh_channel, const char* name, void* user) {
  Session& session = *static_cast<Session*>(user);
  session.request.subsystem = name;
  return session.server->begin(session);
}

int Server::on_command(ssh_session, ssh_channel, const char* command, void* user) {
  Session& session = *static_cast<Session*>(user);
  session.request.command = command;
  return session.server->begin(session);
}

int Server::on_shell(ssh_session, ssh_channel, void* user) {
  Session& session = *static_cast<Session*>(user);
  return session.server->begin(session);
}

int Server::begin(Session& session) {
  if (session.started) return 1;
  session.started = connection_->make_channel(session.channel);
  spawn_detached(
      connection_->executor(), "ssh session",
      [](Server* server, std::shared_ptr<Connection> kept, Session* begun, SessionHandler handler) -> Task<> {
        const std::shared_ptr<Channel> channel = begun->started;
        try {
          co_await handler(channel, begun->request);
        } catch (const Error& error) {
          log::warning("ssh session: {}", error.what());
        }
        // The handler began at once, so that it misses no signal; libssh may still be in the middle of the
        // request.
        co_await yield_to_loop();
        if (kept->broken()) co_return;  // the server is gone
        co_await channel->close();
        server->forget(begun);
      }(this, connection_, &session, handler_));
  return 0;
}

int Server::on_message(ssh_session, ssh_message message, void* self) {
  constexpr int kAnswered = 0;
  constexpr int kNotOurs = 1;
  auto& server = *static_cast<Server*>(self);
  const bool is_forward = ssh_message_type(message) == SSH_REQUEST_CHANNEL_OPEN &&
                          ssh_message_subtype(message) == SSH_CHANNEL_DIRECT_TCPIP;
  if (!is_forward || !server.authenticated_ || !server.options_.connect ||
      *server.forwarded_ >= kChannelsAtOnce)
    return kNotOurs;
  try {
    server.forward(message);
    return kAnswered;
  } catch (const std::exception& failure) {
    log::info("ssh forward: {}", failure.what());
    return kNotOurs;  // libssh refuses it
  }
}

void Server::forward(ssh_message message) {
  ForwardTarget target;
  target.host = ssh_message_channel_request_open_destination(message);
  const int port = ssh_message_channel_request_open_destination_port(message);
  if (port <= 0 || port > 65535) throw Error(Code::invalid_argument, "there is no port {}", port);
  target.port = static_cast<std::uint16_t>(port);
  UniqueFd connected = options_.connect(target);
  ssh_channel accepted = ssh_message_channel_request_open_reply_accept(message);
  if (accepted == nullptr) return;
  std::shared_ptr<Channel> channel = connection_->make_channel(accepted);
  spawn_detached(
      connection_->executor(), "ssh forward",
      [](std::shared_ptr<Channel> from, UniqueFd to, std::shared_ptr<std::size_t> count) -> Task<> {
        const Counted forwarded(*count);
        co_await splice(std::move(from), std::move(to));
      }(std::move(channel), std::move(connected), forwarded_));
}

void Server::forget(Session* session) {
  ssh_remove_channel_callbacks(session->channel, &session->callbacks);
  sessions_.erase(session->channel);
}

void Server::install_callbacks() {
  callbacks_.userdata = this;
  callbacks_.auth_pubkey_function = on_auth;
  callbacks_.channel_open_request_session_function = on_open;
  ssh_callbacks_init(&callbacks_);
  ssh_set_server_callbacks(connection_->session(), &callbacks_);
  ssh_set_message_callback(connection_->session(), on_message, this);
  ssh_set_auth_methods(connection_->session(), SSH_AUTH_METHOD_PUBLICKEY);
}

Task<> Server::run(ssh_bind bind) {
  ssh_session session = connection_->session();
  if (ssh_bind_accept_fd(bind, session, connection_->descriptor_for_libssh()) != SSH_OK) {
    throw Error(Code::unavailable, "SSH on the attach port: {}", ssh_get_error(bind));
  }
  ssh_set_blocking(session, 0);
  install_callbacks();
  // libssh has its poll handle only once the exchange has begun.
  int exchanged = ssh_handle_key_exchange(session);
  connection_->start();
  if (exchanged == SSH_AGAIN) {
    // Of a session whose login came before this look at it libssh would say "again" for ever.
    const auto exchange = [&] { return authenticated_ ? SSH_OK : ssh_handle_key_exchange(session); };
    exchanged = co_await connection_->until_done(exchange, SSH_AGAIN, kHandshakeLimit, "the SSH handshake");
  }
  if (exchanged != SSH_OK) throw connection_->broken_error();
  while (!connection_->broken()) co_await connection_->wait_activity();
}

void set_option(ssh_bind bind, ssh_bind_options_e option, const void* value) {
  if (ssh_bind_options_set(bind, option, value) != SSH_OK) {
    throw Error(Code::internal, "libssh refused an option: {}", ssh_get_error(bind));
  }
}

void configure(ssh_bind bind, const ServerOptions& options) {
  const bool no = false;
  set_option(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no);
  ssh_key key = nullptr;
  if (ssh_pki_import_privkey_base64(options.host_private_key.c_str(), nullptr, nullptr, nullptr, &key) !=
      SSH_OK) {
    throw Error(Code::corrupt, "the SSH host key of the configuration cannot be read");
  }
  set_option(bind, SSH_BIND_OPTIONS_IMPORT_KEY, key);  // takes the key
  set_option(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, kHostKeys);
  set_option(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, kKeyExchange);
  set_option(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, kCiphers);
  set_option(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, kCiphers);
}

}  // namespace

Task<> serve(UniqueFd stream, ServerOptions options, SessionHandler handler) {
  auto connection = std::make_shared<Connection>(co_await asio::this_coro::executor, std::move(stream));
  const std::unique_ptr<ssh_bind_struct, decltype(&ssh_bind_free)> bind(ssh_bind_new(), &ssh_bind_free);
  if (!bind) throw Error(Code::capacity, "no memory for an SSH server");
  configure(bind.get(), options);
  Server server(connection, options, std::move(handler));
  try {
    co_await server.run(bind.get());
  } catch (...) {
    connection->break_off();
    throw;
  }
  connection->break_off();
}

}  // namespace berth::link::ssh
