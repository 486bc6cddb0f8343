#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"
#include "hypervisor/hypervisor.hpp"
#include "tether/dhcp/server_test.hpp"

namespace berth::tether_test {

/// An IPv4 address in host byte order.
std::uint32_t ipv4(const char* text);

/// What came back for a probe.
enum class Answer { none, accepted, refused };

/// The other end of a machine's network card: a host, or several, on a wire with nobody else on it.
class Peer {
 public:
  Peer(const asio::any_io_executor& executor, std::string card_mac);
  ~Peer();

  /// For Guest::Options; may be used for one machine.
  hypervisor::NetworkCard card();
  /// The machine has been started.
  void start();

  std::set<std::uint32_t> addresses;  ///< it answers ARP and echo requests for
  /// Answers DHCP; nothing is answered without.
  std::function<std::vector<tether::dhcp::TestReply>(std::string_view request)> dhcp_server;
  /// Of the guest, in the order in which they came.
  std::vector<std::string> dhcp_requests;
  /// Waits until `count` of them have come.
  Task<> wait_dhcp_requests(std::size_t count);
  /// ARP requests of the guest that were heard.
  std::size_t arp_requests = 0;

  /// Whether the guest says that it has the address.
  Task<> wait_address(std::uint32_t address);
  /// Opens a TCP connection: accepted when there is a listener, refused when the guest says that there is
  /// none.
  Task<Answer> probe_tcp(std::uint32_t from, std::uint32_t to, std::uint16_t port);
  /// A UDP datagram: refused when the guest says that there is no listener.
  Task<Answer> probe_udp(std::uint32_t from, std::uint32_t to, std::uint16_t port);
  Task<Answer> probe_echo(std::uint32_t from, std::uint32_t to);

 private:
  struct State;
  std::shared_ptr<State> state_;
  Task<> exchange_arp(std::uint32_t from, std::uint32_t to);
  Task<Answer> probe(std::uint32_t from, std::uint32_t to, std::string packet);
  Task<> serve(std::shared_ptr<State> state);
  void handle(std::string_view frame);
  void handle_arp(std::string_view frame);
  void handle_ip(std::string_view frame);
  void handle_tcp(std::uint32_t from, std::uint32_t to, std::string_view segment);
  void handle_dhcp(std::string_view payload);
  void send(std::string_view mac, std::uint16_t type, std::string_view payload);
};

}  // namespace berth::tether_test
