#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "guest.hpp"
#include "peer.hpp"

namespace berth::tether_test {

inline constexpr const char* kFirstCard = "52:54:00:aa:00:01";
inline constexpr const char* kSecondCard = "52:54:00:aa:00:02";
inline constexpr const char* kThirdCard = "52:54:00:aa:00:03";

inline config::NetworkEndpoint static_endpoint(const char* network, const char* card, const char* address) {
  config::NetworkEndpoint endpoint;
  endpoint.common.id = card;
  endpoint.is_static = true;
  endpoint.ip = config::IpNetwork::parse(address);
  endpoint.network.common.name = network;
  return endpoint;
}

inline config::NetworkEndpoint dynamic_endpoint(const char* network, const char* card) {
  config::NetworkEndpoint endpoint;
  endpoint.common.id = card;
  endpoint.network.common.name = network;
  endpoint.network.is_default = true;
  return endpoint;
}

/// A machine whose cards end at the test.
struct Wired {
  explicit Wired(const asio::any_io_executor& executor)
      : first(executor, kFirstCard), second(executor, kSecondCard), third(executor, kThirdCard) {}

  Peer first;
  Peer second;
  Peer third;
  std::unique_ptr<Guest> guest;
  int execs = 0;

  /// What a script in the container writes.
  Task<std::string> run(std::string script) {
    const std::string id = "run-" + std::to_string(++execs);
    co_await guest->exec(id, shell(script));
    co_await guest->wait_output(id, "end", [](const SessionOutput& output) { return output.ended; });
    co_return guest->output(id).standard_output + guest->output(id).standard_error;
  }
};

inline Task<std::unique_ptr<Wired>> boot_wired() {
  auto wired = std::make_unique<Wired>(co_await asio::this_coro::executor);
  Guest::Options options;
  for (Peer* peer : {&wired->first, &wired->second, &wired->third})
    options.network_cards.push_back(peer->card());
  wired->guest = co_await Guest::boot(options);
  for (Peer* peer : {&wired->first, &wired->second, &wired->third}) peer->start();
  wired->guest->config.hostname = "pod";
  wired->guest->config.sessions["main"] = make_session(shell(kIdle));
  co_return wired;
}

/// What pushing throws.
inline Task<std::string> refusal_of(Guest& guest) {
  try {
    co_await guest.push();
  } catch (const Error& error) {
    co_return error.what();
  }
  co_return "none";
}

/// A server that lends one address, for some seconds.
struct TestServer {
  std::uint32_t address = ipv4("192.0.2.5");
  std::vector<std::pair<std::uint8_t, std::string>> options;
  bool refuses_renewals = false;

  std::vector<tether::dhcp::TestReply> answer(std::string_view request) const {
    tether::dhcp::TestReply reply;
    reply.server = ipv4("192.0.2.1");
    reply.address = address;
    reply.options = options;
    using tether::dhcp::Type;
    const Type type = tether::dhcp::request_type(request);
    if (type != Type::discover && type != Type::request) return {};
    reply.type = type == Type::discover ? Type::offer : Type::acknowledge;
    if (refuses_renewals && tether::dhcp::number_at(request, 12) != 0) reply.type = Type::refuse;
    return {reply};
  }
};

inline const std::pair<std::uint8_t, std::string> kMask24{1, std::string("\xff\xff\xff\0", 4)};

}  // namespace berth::tether_test
