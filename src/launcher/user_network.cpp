#include "launcher/user_network.hpp"

#include <fmt/format.h>

#include "hypervisor/hypervisor.hpp"

namespace berth::launcher {

config::NetworkEndpoint user_network(const std::string& mac) {
  using hypervisor::UserNetwork;
  config::NetworkEndpoint endpoint;
  endpoint.common.id = mac;
  endpoint.common.name = "eth0";
  endpoint.is_static = true;
  endpoint.ip =
      config::IpNetwork::parse(fmt::format("{}/{}", UserNetwork::guest, UserNetwork::prefix_length));
  endpoint.network.common.name = kUserNetwork;
  endpoint.network.type = kUserNetwork;
  endpoint.network.is_default = true;
  endpoint.network.gateway =
      config::IpNetwork::parse(fmt::format("{}/{}", UserNetwork::gateway, UserNetwork::prefix_length));
  endpoint.network.nameservers = {config::IpAddress::parse(std::string(UserNetwork::resolver))};
  return endpoint;
}

}  // namespace berth::launcher
