#include "tether/extensions/attach_server.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "link/resync.hpp"
#include "link/splice.hpp"
#include "link/ssh.hpp"
#include "tether/connect.hpp"
#include "tether/os/devices.hpp"

namespace berth::tether {
namespace {

constexpr std::size_t kTokenLimit = 128;
constexpr Milliseconds kResetLimit{5'000};

/// A user's SSH connection inside the host's: the user's client knows the machine by the same host key.
Task<> serve_login(std::shared_ptr<link::ssh::Channel> channel, AttachSource source) {
  auto [far_end, near_end] = make_socket_pair();
  link::ssh::ServerOptions options{source.host_key(), source.user_keys(), connect_in_pod};
  Task<> server = link::ssh::serve(std::move(near_end), std::move(options), source.login);
  Task<> carrier = link::splice(std::move(channel), std::move(far_end));
  co_await run_both(std::move(server), std::move(carrier));
}

Task<> serve_channel(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request,
                     AttachSource source) {
  if (request.subsystem == link::ssh::kLoginSubsystem)
    co_return co_await serve_login(std::move(channel), std::move(source));
  if (request.subsystem != link::ssh::kAttachSubsystem)
    co_return co_await source.other_subsystem(std::move(channel), std::move(request));
  const AttachedStreams streams = parse_attached_streams(request.variable(link::ssh::kAttachStreams));
  const std::shared_ptr<Session> session = source.find_session(request.variable(link::ssh::kAttachSession));
  if (request.terminal) {
    session->resize({static_cast<std::uint16_t>(request.terminal->columns),
                     static_cast<std::uint16_t>(request.terminal->rows)});
  }
  co_await session->attach(std::move(channel), streams);
}

}  // namespace

AttachedStreams parse_attached_streams(std::string_view text) {
  if (text.empty() || text == "stdin") return AttachedStreams::input;
  if (text == "stdin,stdout,stderr") return AttachedStreams::all;
  throw Error(Code::invalid_argument, "\"{}\" are not streams that can be attached", text);
}

AttachServer::AttachServer(const asio::any_io_executor& executor, UniqueFd port, AttachSource source)
    : port_(std::move(port)), source_(std::move(source)), reset_(executor), meeting_(executor) {}

Task<> AttachServer::run() {
  const auto self = shared_from_this();
  co_await os::wait_host_end(reset_.executor(), port_.get());
  while (true) {
    while (used_ && token_.empty()) co_await reset_.wait();
    Task<> turn = token_.empty() ? serve_next() : meet_host();
    try {
      co_await run_until(reset_, std::move(turn));
    } catch (const Error& error) {
      log::info("attach: {}", error.what());
    }
  }
}

Task<> AttachServer::reset(std::string token) {
  const auto self = shared_from_this();
  if (token.empty() || token.size() > kTokenLimit || token != printable(token)) {
    throw Error(Code::invalid_argument, "this cannot be a token of the attach port");
  }
  token_ = token;
  reset_.notify_all();
  while (token_ == token) {
    if (!co_await meeting_.wait_for(kResetLimit))
      throw Error(Code::timeout, "the attach server does not end");
  }
}

void AttachServer::drop() {
  used_ = true;
  token_.clear();
  reset_.notify_all();
}

Task<> AttachServer::meet_host() {
  const std::string token = std::exchange(token_, {});
  used_ = true;
  meeting_.notify_all();
  Stream port(reset_.executor(), duplicate(port_.get()));
  co_await link::skip_past_token(port, token);
  co_await link::send_token(port, token);
  used_ = false;
}

Task<> AttachServer::serve_next() {
  {
    Stream port(reset_.executor(), duplicate(port_.get()));
    co_await port.wait_readable();
  }
  used_ = true;
  link::ssh::ServerOptions options{source_.host_key(), source_.authorized_keys(), connect_in_pod};
  const link::ssh::SessionHandler handler = [source = source_](std::shared_ptr<link::ssh::Channel> channel,
                                                               link::ssh::Request request) {
    return serve_channel(std::move(channel), std::move(request), source);
  };
  // A port can be open once, and a connection that has ended may keep its descriptor a while.
  co_await link::ssh::serve(duplicate(port_.get()), std::move(options), handler);
}

}  // namespace berth::tether
