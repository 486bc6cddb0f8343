#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/executor.hpp"

/// What the trust levels of networks let through.
namespace berth::tether::firewall {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  bool operator==(const PortRange&) const = default;
};

struct OpenPorts {
  Protocol protocol = Protocol::tcp;
  PortRange ports;
  bool operator==(const OpenPorts&) const = default;
};

/// What comes in for one port goes to another of the same machine.
struct Redirect {
  Protocol protocol = Protocol::tcp;
  std::uint16_t from = 0;
  std::uint16_t to = 0;
  bool operator==(const Redirect&) const = default;
};

/// What passes one card; what is not named here does not pass.
struct CardPolicy {
  unsigned interface = 0;
  bool everything = false;  ///< in, out and through
  bool outbound = false;    ///< everything out, and what belongs to it in
  bool ping = false;        ///< echo requests in
  bool dhcp = false;
  std::vector<config::IpRange> trusted;  ///< everything from there in
  std::vector<OpenPorts> ports;          ///< in
  std::vector<Redirect> redirects;
  bool operator==(const CardPolicy&) const = default;
};

/// What a port specification opens: "80/tcp", "80" (TCP), "9000-9010/udp", "8080:80/tcp" (what comes in for
/// the first goes to the second).
struct PortSpec {
  OpenPorts open;
  std::vector<Redirect> redirects;  ///< one or none
};
/// Throws invalid-argument.
PortSpec parse_port_spec(std::string_view text);

/// The policy of a card with these endpoints, of which at least one wants a firewall: what any of those lets
/// through. A bad port specification is reported in `complaints` and opens nothing. Throws invalid-argument
/// for a pool that is none.
CardPolicy make_policy(unsigned interface, const std::vector<const config::NetworkEndpoint*>& endpoints,
                       std::vector<std::string>& complaints);

}  // namespace berth::tether::firewall
