#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/executor.hpp"
#include "tether/os/rtnetlink.hpp"

namespace berth::tether::os {

using Endpoints = std::map<std::string, config::NetworkEndpoint>;

/// What a DHCP server has lent.
struct Lease {
  config::IpNetwork address;
  config::IpAddress gateway;  ///< empty: none given
  std::vector<config::IpAddress> nameservers;
  std::uint32_t mtu = 0;  ///< 0: none given
  bool operator==(const Lease&) const = default;
};

struct Route {
  InterfaceAddress destination;  ///< no bytes: the default route
  std::string gateway;           ///< in network byte order

  auto operator<=>(const Route&) const = default;
};

/// What one interface has of us.
struct InterfaceSettings {
  std::set<InterfaceAddress> addresses;
  std::set<Route> routes;
  bool operator==(const InterfaceSettings&) const = default;
};

/// What an endpoint has come to, as the host is told; empty for one without an address.
struct Assignment {
  config::IpNetwork address;
  config::IpNetwork gateway;
  std::vector<config::IpAddress> nameservers;
};

/// A network card and the endpoints on it.
struct CardPlan {
  std::string device;  ///< its MAC or PCI address, in lower case
  std::string name;    ///< that it shall have; empty: the kernel's
  std::uint32_t mtu = 0;
  bool dynamic = false;                ///< asks for a lease, which its dynamic endpoints share
  std::vector<std::string> endpoints;  ///< keys, in their order
  std::string networks;                ///< names for messages: "front, back"
};

/// Runs a step for a card; an Error that it throws names the networks on it.
template <typename Step>
void for_networks(const CardPlan& plan, Step step) {
  try {
    step();
  } catch (Error& error) {
    error.add_context(fmt::format("network {}", plan.networks));
    throw;
  }
}

/// Whether its address comes from a DHCP server.
bool is_dynamic(const config::NetworkEndpoint& endpoint);

/// The cards that endpoints are on; endpoints with the same common.id (or else the same key) share one.
/// Throws invalid-argument, naming the network, for what no card can be: an id that is neither a MAC nor a
/// PCI address, two names or MTUs, a static endpoint without an address, two default routes of one family.
std::vector<CardPlan> plan_cards(const Endpoints& endpoints);

/// The configuration's word first, then the lease's; the gateway is the name server where neither names one.
Assignment assignment_of(const config::NetworkEndpoint& endpoint, const std::optional<Lease>& lease);

/// The address and the routes of an endpoint. Throws invalid-argument for an improper mask or a destination
/// of another family than its gateway.
InterfaceSettings settings_of(const config::NetworkEndpoint& endpoint, const std::optional<Lease>& lease);

/// "52:54:00:12:34:56", any case.
bool is_mac_address(std::string_view text);
/// "0000:00:05.0".
bool is_pci_address(std::string_view text);

/// The name servers of all endpoints, each once, the default network's first.
std::vector<std::string> nameservers_of(const Endpoints& endpoints);
/// The addresses the machine has, as text.
std::vector<std::string> addresses_of(const Endpoints& endpoints);
/// "NETWORK.localhost" and its address for each endpoint with a named network.
std::vector<std::pair<std::string, std::string>> network_names_of(const Endpoints& endpoints);

}  // namespace berth::tether::os
