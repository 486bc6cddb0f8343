#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include <boost/asio/this_coro.hpp>

#include "base/text.hpp"
#include "link/ssh_algorithms.hpp"
#include "link/ssh_connection.hpp"

namespace berth::link::ssh {
namespace {

using Key = std::unique_ptr<ssh_key_struct, decltype(&ssh_key_free)>;

Key import_private_key(const std::string& text) {
  ssh_key key = nullptr;
  if (ssh_pki_import_privkey_base64(text.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK) {
    throw Error(Code::corrupt, "the pod's SSH key cannot be read");
  }
  return Key(key, &ssh_key_free);
}

void set_option(ssh_session session, ssh_options_e option, const void* value) {
  if (ssh_options_set(session, option, value) != SSH_OK) {
    throw Error(Code::internal, "libssh refused an option: {}", ssh_get_error(session));
  }
}

void configure(Connection& connection) {
  ssh_session session = connection.session();
  const bool no = false;
  socket_t fd = connection.descriptor_for_libssh();
  set_option(session, SSH_OPTIONS_PROCESS_CONFIG, &no);
  set_option(session, SSH_OPTIONS_HOST, "pod");
  set_option(session, SSH_OPTIONS_USER, "berth");
  set_option(session, SSH_OPTIONS_SSH_DIR, "/nonexistent");
  set_option(session, SSH_OPTIONS_KNOWNHOSTS, "/dev/null");
  set_option(session, SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null");
  set_option(session, SSH_OPTIONS_HOSTKEYS, kHostKeys);
  set_option(session, SSH_OPTIONS_KEY_EXCHANGE, kKeyExchange);
  set_option(session, SSH_OPTIONS_CIPHERS_C_S, kCiphers);
  set_option(session, SSH_OPTIONS_CIPHERS_S_C, kCiphers);
  set_option(session, SSH_OPTIONS_FD, &fd);
  ssh_set_blocking(session, 0);
}

void check_host_key(ssh_session session, const std::string& expected) {
  ssh_key key = nullptr;
  if (ssh_get_server_publickey(session, &key) != SSH_OK)
    throw Error(Code::unavailable, "the guest showed no host key");
  const Key owned(key, &ssh_key_free);
  char* text = nullptr;
  if (ssh_pki_export_pubkey_base64(key, &text) != SSH_OK)
    throw Error(Code::internal, "cannot export an SSH key");
  const std::string shown = std::string("ssh-ed25519 ") + text;
  ssh_string_free_char(text);
  if (shown != trim(expected)) {
    throw Error(Code::corrupt,
                "the guest's SSH host key is not the one it was given: its tether cannot be trusted");
  }
}

void on_exit_status(ssh_session, ssh_channel, int status, void* user) {
  static_cast<Channel::State*>(user)->exit = Exit{status, {}, false};
}

void on_exit_signal(ssh_session, ssh_channel, const char* signal, int core, const char*, const char*,
                    void* user) {
  static_cast<Channel::State*>(user)->exit = Exit{0, signal, core != 0};
}

void on_close(ssh_session, ssh_channel, void* user) {
  static_cast<Channel::State*>(user)->closed = true;
}

}  // namespace

Task<std::unique_ptr<Client>> Client::connect(UniqueFd stream, const std::string& private_key,
                                              const std::string& host_public_key, Milliseconds limit) {
  const Key key = import_private_key(private_key);
  auto connection = std::make_shared<Connection>(co_await asio::this_coro::executor, std::move(stream));
  ssh_session session = connection->session();
  configure(*connection);
  // libssh has its poll handle only once connecting has begun.
  int state = ssh_connect(session);
  connection->start();
  std::unique_ptr<Client> client(new Client(connection));
  if (state == SSH_AGAIN) {
    state = co_await connection->until_done([&] { return ssh_connect(session); }, SSH_AGAIN, limit,
                                            "the SSH handshake");
  }
  if (state != SSH_OK) throw connection->broken_error();
  check_host_key(session, host_public_key);
  const int granted =
      co_await connection->until_done([&] { return ssh_userauth_publickey(session, nullptr, key.get()); },
                                      SSH_AUTH_AGAIN, limit, "the SSH login");
  if (granted != SSH_AUTH_SUCCESS) throw Error(Code::unavailable, "the guest refused the host's SSH key");
  co_return client;
}

Client::Client(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

Client::~Client() {
  close();
}

void Client::close() {
  connection_->break_off();
}

bool Client::connected() const {
  return !connection_->broken();
}

Task<std::unique_ptr<Channel>> Client::open(const Request& request, Milliseconds limit) {
  const auto connection = connection_;
  std::unique_ptr<Channel> result = connection->new_channel();
  ssh_channel channel = result->state_->channel;
  const auto request_step = [&](std::function<int()> step, std::string what) -> Task<> {
    const int state = co_await connection->until_done(std::move(step), SSH_AGAIN, limit, what);
    if (state != SSH_OK)
      throw Error(Code::unavailable, "the guest refused {}: {}", what, ssh_get_error(connection->session()));
  };
  co_await request_step([&] { return ssh_channel_open_session(channel); }, "an SSH channel");
  result->watch();
  for (const auto& variable : request.environment) {
    co_await request_step(
        [&] { return ssh_channel_request_env(channel, variable.first.c_str(), variable.second.c_str()); },
        "an SSH variable");
  }
  if (request.terminal) {
    const Terminal& terminal = *request.terminal;
    co_await request_step(
        [&] {
          return ssh_channel_request_pty_size(channel, terminal.name.c_str(), terminal.columns,
                                              terminal.rows);
        },
        "a terminal");
  }
  co_await request_step(
      [&] {
        if (!request.subsystem.empty())
          return ssh_channel_request_subsystem(channel, request.subsystem.c_str());
        if (!request.command.empty()) return ssh_channel_request_exec(channel, request.command.c_str());
        return ssh_channel_request_shell(channel);
      },
      "the session");
  co_return result;
}

Task<std::unique_ptr<Channel>> Client::forward(const ForwardTarget& target, Milliseconds limit) {
  const auto connection = connection_;
  std::unique_ptr<Channel> result = connection->new_channel();
  ssh_channel channel = result->state_->channel;
  const auto step = [channel, host = target.host, port = target.port] {
    return ssh_channel_open_forward(channel, host.c_str(), port, "localhost", 0);
  };
  if (co_await connection->until_done(step, SSH_AGAIN, limit, "a forwarded connection") != SSH_OK)
    throw Error(Code::unavailable, "nothing accepts connections at port {} in the container", target.port);
  co_return result;
}

void Channel::watch() {
  state_->callbacks = std::make_unique<ssh_channel_callbacks_struct>();
  ssh_channel_callbacks_struct& callbacks = *state_->callbacks;
  callbacks.userdata = state_.get();
  callbacks.channel_exit_status_function = on_exit_status;
  callbacks.channel_exit_signal_function = on_exit_signal;
  callbacks.channel_close_function = on_close;
  ssh_callbacks_init(&callbacks);
  ssh_set_channel_callbacks(state_->channel, &callbacks);
}

}  // namespace berth::link::ssh
