#include "tether/attach.hpp"

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "link/ssh.hpp"
#include "tether/os/devices.hpp"

namespace berth::tether {
namespace {

std::string variable(const link::ssh::Request& request, std::string_view name) {
  const auto found = request.environment.find(std::string(name));
  return found != request.environment.end() ? found->second : std::string();
}

Task<> serve_channel(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request,
                     AttachSource source) {
  if (request.subsystem != kAttachSubsystem) {
    throw Error(Code::unsupported, "the tether has no SSH subsystem \"{}\"", request.subsystem);
  }
  const AttachedStreams streams = parse_attached_streams(variable(request, kAttachStreams));
  const std::shared_ptr<Session> session = source.find_session(variable(request, kAttachSession));
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

Task<> serve_attach(UniqueFd port, AttachSource source) {
  const auto executor = co_await asio::this_coro::executor;
  // A port can be open once, and a connection that has ended may keep its descriptor a while.
  Stream kept(executor, std::move(port));
  const link::ssh::SessionHandler handler = [source](std::shared_ptr<link::ssh::Channel> channel,
                                                     link::ssh::Request request) {
    return serve_channel(std::move(channel), std::move(request), source);
  };
  while (true) {
    co_await os::wait_host_end(executor, kept.fd());
    co_await kept.wait_readable();
    link::ssh::ServerOptions options{source.host_key(), source.authorized_keys()};
    try {
      co_await link::ssh::serve(duplicate(kept.fd()), std::move(options), handler);
    } catch (const Error& error) {
      log::info("attach: {}", error.what());
    }
  }
}

}  // namespace berth::tether
