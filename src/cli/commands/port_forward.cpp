#include <csignal>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/relay.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {
namespace {

using Tcp = asio::ip::tcp;

/// Connections that are being made at once; those made are not counted.
constexpr std::size_t kOpenersAtOnce = 4;

struct Forward {
  std::uint16_t local = 0;  ///< 0: a free one
  std::uint16_t remote = 0;
};

/// kubectl's form: [LOCAL:]REMOTE; ":REMOTE" takes a free local port.
Forward parse_forward(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view remote = colon == std::string_view::npos ? text : text.substr(colon + 1);
  const std::string_view local = colon == std::string_view::npos ? text : text.substr(0, colon);
  const std::string what = fmt::format("port '{}'", printable(text));
  Forward forward;
  forward.remote = static_cast<std::uint16_t>(parse_integer(remote, 1, 65535, what));
  if (!local.empty()) forward.local = static_cast<std::uint16_t>(parse_integer(local, 0, 65535, what));
  return forward;
}

Tcp::acceptor listen_at(asio::io_context& loop, const std::string& address, std::uint16_t port) {
  boost::system::error_code failure;
  const auto host = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failure);
  if (failure) throw Error(Code::invalid_argument, "--address '{}' is not an IP address", printable(address));
  const Tcp::endpoint endpoint(host, port);
  Tcp::acceptor acceptor(loop);
  acceptor.open(endpoint.protocol(), failure);
  if (!failure) acceptor.set_option(asio::socket_base::reuse_address(true), failure);
  if (!failure) acceptor.bind(endpoint, failure);
  if (!failure) acceptor.listen(asio::socket_base::max_listen_connections, failure);
  if (failure) throw Error(Code::unavailable, "cannot listen on {}:{}: {}", address, port, failure.message());
  return acceptor;
}

Task<engine::Attachment> connect_to(engine::Forwarder forwarder, std::uint16_t port) {
  co_return forwarder(port);
}

Task<> serve_client(UniqueFd client, engine::Forwarder forwarder, std::uint16_t port,
                    asio::thread_pool& openers) {
  try {
    engine::Attachment pod =
        co_await asio::co_spawn(openers, connect_to(std::move(forwarder), port), asio::use_awaitable);
    co_await relay(std::move(client), std::move(pod.stream), std::move(pod.early));
  } catch (const Error& error) {
    print_error(fmt::format("a connection to port {}: {}", port, error.what()));
  }
}

Task<> serve_port(Tcp::acceptor acceptor, engine::Forwarder forwarder, std::uint16_t port,
                  asio::thread_pool& openers) {
  while (true) {
    Tcp::socket client = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(),
                   serve_client(UniqueFd(client.release()), forwarder, port, openers), asio::detached);
  }
}

}  // namespace

int port_forward(Context& context, const Arguments& arguments) {
  std::vector<std::string> addresses;
  std::vector<std::string> words;
  Parser parser("berth port-forward", "[OPTIONS] CONTAINER [LOCAL_PORT:]REMOTE_PORT...",
                "Connects local TCP ports with ports of a running container until it is interrupted.");
  parser.list("--address", "ADDRESS", addresses, "Listen there (default 127.0.0.1)")
      .positionals(words, 2)
      .example("berth port-forward web 8080:80");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  if (addresses.empty()) addresses.emplace_back("127.0.0.1");

  const engine::Forwarder forwarder = context.engine().forwarder(words.front());
  ::signal(SIGPIPE, SIG_IGN);
  asio::io_context loop;
  asio::thread_pool openers(kOpenersAtOnce);
  for (auto word = words.begin() + 1; word != words.end(); ++word) {
    const Forward forward = parse_forward(*word);
    for (const std::string& address : addresses) {
      Tcp::acceptor acceptor = listen_at(loop, address, forward.local);
      print_line(fmt::format("Forwarding from {}:{} -> {}", address, acceptor.local_endpoint().port(),
                             forward.remote));
      asio::co_spawn(loop, serve_port(std::move(acceptor), forwarder, forward.remote, openers),
                     asio::detached);
    }
  }
  flush_output();
  asio::signal_set interrupts(loop, SIGINT, SIGTERM);
  interrupts.async_wait([&loop](const boost::system::error_code&, int) { loop.stop(); });
  loop.run();
  return 0;
}

}  // namespace berth::cli::command
