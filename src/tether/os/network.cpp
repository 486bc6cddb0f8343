#include "tether/os/network.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether::os {
namespace {

constexpr unsigned kLoopbackIndex = 1;

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
  address.prefix_length = static_cast<unsigned>(mapped ? *bits - 96 : *bits);
  return address;
}

bool is_unspecified(const config::IpAddress& address) {
  const std::string bytes = wire_bytes(address);
  return bytes.find_first_not_of('\0') == std::string::npos;
}

std::uint64_t read_counter(const std::filesystem::path& path) {
  const std::string text = find_file(path).value_or("");
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

template <typename T>
bool contains(const std::vector<T>& all, const T& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

void Network::set_loopback_up() {
  rtnetlink_.set_up(kLoopbackIndex);
}

Task<> Network::apply(std::map<std::string, config::NetworkEndpoint>& endpoints, Milliseconds limit) {
  std::map<std::string, Settings> wanted;
  for (const auto& [key, endpoint] : endpoints) {
    const std::string& mac = endpoint.common.id.empty() ? key : endpoint.common.id;
    try {
      const std::string name = co_await devices_.interface(mac, limit);
      wanted.emplace(key, settings_of(endpoint, interface_index(name)));
    } catch (Error& error) {
      error.add_context(fmt::format("network {}", endpoint.network.common.name));
      throw;
    }
  }
  for (const auto& [key, before] : applied_) {
    if (!wanted.contains(key)) change(before, {before.interface, {}, {}});
  }
  for (const auto& [key, after] : wanted) change(applied_[key], after);
  applied_ = std::move(wanted);
  for (auto& [key, endpoint] : endpoints) {
    if (!endpoint.ip || is_unspecified(endpoint.ip->ip)) continue;
    endpoint.assigned = *endpoint.ip;
    endpoint.network.assigned.gateway = endpoint.network.gateway;
    endpoint.network.assigned.nameservers = endpoint.network.nameservers;
  }
}

Network::Settings Network::settings_of(const config::NetworkEndpoint& endpoint, unsigned interface) {
  Settings settings;
  settings.interface = interface;
  if (!endpoint.ip || endpoint.ip->empty()) {
    if (!endpoint.is_static)
      throw Error(Code::unsupported, "it has no address, and asking for one by DHCP is not possible");
    throw Error(Code::invalid_argument, "it is static and has no address");
  }
  if (is_unspecified(endpoint.ip->ip)) return settings;  // somebody else looks after its address
  settings.addresses.push_back(wire_network(*endpoint.ip));
  if (endpoint.network.gateway.empty()) return settings;
  const std::string gateway = wire_bytes(endpoint.network.gateway.ip);
  if (endpoint.network.is_default) settings.routes.push_back({{}, gateway});
  for (const auto& destination : endpoint.network.destinations) {
    settings.routes.push_back({wire_network(destination), gateway});
  }
  return settings;
}

void Network::change(const Settings& before, const Settings& after) {
  for (const auto& route : before.routes) {
    if (!contains(after.routes, route))
      rtnetlink_.remove_route(before.interface, route.destination, route.gateway);
  }
  for (const auto& address : before.addresses) {
    if (!contains(after.addresses, address)) rtnetlink_.remove_address(before.interface, address);
  }
  if (before.interface != after.interface) rtnetlink_.set_up(after.interface);
  for (const auto& address : after.addresses) {
    if (!contains(before.addresses, address)) rtnetlink_.add_address(after.interface, address);
  }
  for (const auto& route : after.routes) {
    if (!contains(before.routes, route))
      rtnetlink_.add_route(after.interface, route.destination, route.gateway);
  }
}

Network::Counters Network::counters() const {
  Counters sum;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", ignored)) {
    if (entry.path().filename() == "lo") continue;
    sum.received_bytes += read_counter(entry.path() / "statistics/rx_bytes");
    sum.sent_bytes += read_counter(entry.path() / "statistics/tx_bytes");
  }
  return sum;
}

std::vector<std::string> nameservers_of(const std::map<std::string, config::NetworkEndpoint>& endpoints) {
  std::vector<std::string> servers;
  for (const bool of_default : {true, false}) {
    for (const auto& [key, endpoint] : endpoints) {
      if (endpoint.network.is_default != of_default) continue;
      for (const auto& server : endpoint.network.nameservers) {
        if (!contains(servers, server.to_string())) servers.push_back(server.to_string());
      }
    }
  }
  return servers;
}

std::vector<std::string> addresses_of(const std::map<std::string, config::NetworkEndpoint>& endpoints) {
  std::vector<std::string> addresses;
  for (const auto& [key, endpoint] : endpoints) {
    if (!endpoint.assigned.empty()) addresses.push_back(endpoint.assigned.ip.to_string());
  }
  return addresses;
}

}  // namespace berth::tether::os
