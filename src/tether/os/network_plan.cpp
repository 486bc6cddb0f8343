#include "tether/os/network_plan.hpp"

#include <algorithm>
#include <cctype>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kMostInterfaceName = 15;  // IFNAMSIZ with its zero
constexpr std::int64_t kLeastMtu = 68;          // RFC 791
constexpr std::int64_t kMostMtu = 65535;

/// The bytes as the kernel wants them: an IPv4 address has 4.
std::string wire_bytes(const config::IpAddress& address) {
  if (!address.is_v4()) return address.data;
  const std::uint32_t number = address.v4_number();
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

InterfaceAddress wire_network(const config::IpNetwork& network) {
  InterfaceAddress address{wire_bytes(network.ip), 0};
  const auto bits = network.mask.bits();
  if (!bits) throw Error(Code::invalid_argument, "{} has no proper network mask", network.ip.to_string());
  const bool mapped = address.bytes.size() == 4 && network.mask.data.size() == 16;
  const int length = mapped ? *bits - 96 : *bits;
  if (length < 0 || static_cast<std::size_t>(length) > address.bytes.size() * 8)
    throw Error(Code::invalid_argument, "{} has the mask of another family", network.ip.to_string());
  address.prefix_length = static_cast<unsigned>(length);
  return address;
}

/// Without the bits of a host, which the kernel refuses in a destination.
InterfaceAddress destination_of(const config::IpNetwork& network) {
  InterfaceAddress destination = wire_network(network);
  unsigned bits = destination.prefix_length;
  for (char& byte : destination.bytes) {
    const unsigned kept = std::min(bits, 8u);
    byte = static_cast<char>(static_cast<unsigned char>(byte) & (0xff00u >> kept));
    bits -= kept;
  }
  // The default route has no bytes.
  if (destination.prefix_length == 0) destination.bytes.clear();
  return destination;
}

bool is_unspecified(const config::IpAddress& address) {
  return wire_bytes(address).find_first_not_of('\0') == std::string::npos;
}

template <typename T>
bool contains(const std::vector<T>& all, const T& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_pattern(std::string_view text, std::string_view pattern) {
  return text.size() == pattern.size() &&
         std::equal(text.begin(), text.end(), pattern.begin(), [](unsigned char c, char wanted) {
           return wanted == 'x' ? std::isxdigit(c) != 0 : c == static_cast<unsigned char>(wanted);
         });
}

void check_interface_name(const std::string& name) {
  const bool fits = name.size() <= kMostInterfaceName && name != "." && name != ".." &&
                    std::none_of(name.begin(), name.end(), [](unsigned char c) {
                      return c <= ' ' || c >= 0x7f || c == '/' || c == ':';
                    });
  if (!fits) {
    throw Error(Code::invalid_argument, "\"{}\" cannot be the name of a network interface: 1 to {} letters",
                printable(name, 64), kMostInterfaceName);
  }
}

/// Takes what several endpoints on one card have to agree on.
template <typename T>
void agree(T& agreed, const T& wanted, std::string_view what) {
  if (wanted == T()) return;
  if (agreed != T() && agreed != wanted)
    throw Error(Code::invalid_argument, "its card has {} {} by another network, not {}", what, agreed,
                wanted);
  agreed = wanted;
}

void add_endpoint(std::vector<CardPlan>& cards, const std::string& key,
                  const config::NetworkEndpoint& endpoint) {
  const std::string device = lower_case(endpoint.common.id.empty() ? key : endpoint.common.id);
  if (!is_mac_address(device) && !is_pci_address(device)) {
    throw Error(Code::invalid_argument, "\"{}\" is neither the MAC nor the PCI address of a network card",
                printable(device, 64));
  }
  auto card =
      std::find_if(cards.begin(), cards.end(), [&](const CardPlan& one) { return one.device == device; });
  if (card == cards.end()) card = cards.insert(cards.end(), {device, "", 0, false, {}, ""});
  if (!endpoint.common.name.empty()) check_interface_name(endpoint.common.name);
  agree(card->name, endpoint.common.name, "the name");
  const std::int64_t mtu = endpoint.network.mtu;
  if (mtu != 0 && (mtu < kLeastMtu || mtu > kMostMtu))
    throw Error(Code::invalid_argument, "an MTU of {} cannot be", mtu);
  agree(card->mtu, static_cast<std::uint32_t>(mtu), "the MTU");
  if (endpoint.is_static && (!endpoint.ip || endpoint.ip->empty()))
    throw Error(Code::invalid_argument, "it is static and has no address");
  if (!is_dynamic(endpoint)) settings_of(endpoint, std::nullopt);
  card->dynamic = card->dynamic || is_dynamic(endpoint);
  card->endpoints.push_back(key);
  card->networks += (card->networks.empty() ? "" : ", ") + endpoint.network.common.name;
}

/// Two of them would fight for one route.
void check_defaults(const Endpoints& endpoints) {
  std::map<bool, std::string> defaults;
  for (const auto& [key, endpoint] : endpoints) {
    if (!endpoint.network.is_default) continue;
    const bool v6 = !endpoint.network.gateway.empty() && !endpoint.network.gateway.ip.is_v4();
    const auto [other, is_first] = defaults.emplace(v6, endpoint.network.common.name);
    if (!is_first) {
      throw Error(Code::invalid_argument, "the networks {} and {} cannot both have the default route",
                  other->second, endpoint.network.common.name);
    }
  }
}

}  // namespace

bool is_mac_address(std::string_view text) {
  return is_pattern(text, "xx:xx:xx:xx:xx:xx");
}

bool is_pci_address(std::string_view text) {
  return is_pattern(text, "xxxx:xx:xx.x");
}

bool is_dynamic(const config::NetworkEndpoint& endpoint) {
  return !endpoint.is_static && (!endpoint.ip || endpoint.ip->empty());
}

std::vector<CardPlan> plan_cards(const Endpoints& endpoints) {
  std::vector<CardPlan> cards;
  for (const auto& [key, endpoint] : endpoints) {
    try {
      add_endpoint(cards, key, endpoint);
    } catch (Error& error) {
      error.add_context(fmt::format("network {}", endpoint.network.common.name));
      throw;
    }
  }
  check_defaults(endpoints);
  return cards;
}

Assignment assignment_of(const config::NetworkEndpoint& endpoint, const std::optional<Lease>& lease) {
  Assignment assignment;
  const config::ContainerNetwork& network = endpoint.network;
  if (is_dynamic(endpoint)) {
    if (!lease) return assignment;
    assignment.address = lease->address;
    assignment.nameservers = lease->nameservers;
    if (!lease->gateway.empty()) assignment.gateway = {lease->gateway, lease->address.mask};
  } else {
    if (!endpoint.ip || endpoint.ip->empty() || is_unspecified(endpoint.ip->ip)) return assignment;
    assignment.address = *endpoint.ip;
  }
  if (!network.gateway.empty()) assignment.gateway = network.gateway;
  if (!network.nameservers.empty()) assignment.nameservers = network.nameservers;
  if (assignment.nameservers.empty() && !assignment.gateway.empty())
    assignment.nameservers = {assignment.gateway.ip};
  return assignment;
}

InterfaceSettings settings_of(const config::NetworkEndpoint& endpoint, const std::optional<Lease>& lease) {
  const Assignment assignment = assignment_of(endpoint, lease);
  InterfaceSettings settings;
  if (assignment.address.empty()) return settings;  // somebody else looks after it
  settings.addresses.insert(wire_network(assignment.address));
  if (assignment.gateway.empty() || is_unspecified(assignment.gateway.ip)) return settings;
  const std::string gateway = wire_bytes(assignment.gateway.ip);
  if (endpoint.network.is_default) settings.routes.insert({{}, gateway});
  for (const auto& destination : endpoint.network.destinations) {
    const InterfaceAddress wire = destination_of(destination);
    if (!wire.bytes.empty() && wire.bytes.size() != gateway.size()) {
      throw Error(Code::invalid_argument, "{} cannot be reached by the gateway {}", destination.to_string(),
                  assignment.gateway.ip.to_string());
    }
    settings.routes.insert({wire, gateway});
  }
  return settings;
}

std::vector<std::string> nameservers_of(const Endpoints& endpoints) {
  std::vector<std::string> servers;
  for (const bool of_default : {true, false}) {
    for (const auto& [key, endpoint] : endpoints) {
      if (endpoint.network.is_default != of_default) continue;
      for (const auto& server : endpoint.network.assigned.nameservers) {
        if (!contains(servers, server.to_string())) servers.push_back(server.to_string());
      }
    }
  }
  return servers;
}

std::vector<std::string> addresses_of(const Endpoints& endpoints) {
  std::vector<std::string> addresses;
  for (const auto& [key, endpoint] : endpoints) {
    if (!endpoint.assigned.empty() && !contains(addresses, endpoint.assigned.ip.to_string()))
      addresses.push_back(endpoint.assigned.ip.to_string());
  }
  return addresses;
}

std::vector<std::pair<std::string, std::string>> network_names_of(const Endpoints& endpoints) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const auto& [key, endpoint] : endpoints) {
    const std::string& network = endpoint.network.common.name;
    const bool is_word =
        !network.empty() && std::none_of(network.begin(), network.end(),
                                         [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '#'; });
    if (is_word && !endpoint.assigned.empty())
      names.emplace_back(network + ".localhost", endpoint.assigned.ip.to_string());
  }
  return names;
}

}  // namespace berth::tether::os
