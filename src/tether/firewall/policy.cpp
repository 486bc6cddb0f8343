#include "tether/firewall/policy.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tether::firewall {
namespace {

constexpr std::string_view kBridge = "bridge";

Error bad_spec(std::string_view text) {
  return {Code::invalid_argument,
          "\"{}\" names no port: use PORT, FIRST-LAST or OUTER:INNER with /tcp or /udp", printable(text, 64)};
}

PortRange parse_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto port = [](std::string_view number) {
    return static_cast<std::uint16_t>(parse_integer(number, 1, 65535, "a port"));
  };
  const PortRange range{port(text.substr(0, dash)),
                        port(dash == std::string_view::npos ? text : text.substr(dash + 1))};
  if (range.first > range.last) throw Error(Code::invalid_argument, "a range of ports ends before it begins");
  return range;
}

void check_pool(const config::IpRange& pool) {
  const bool proper = !pool.first.empty() && pool.first.is_v4() == pool.last.is_v4() && !pool.last.empty();
  const bool ordered = proper && (pool.first.is_v4() ? pool.first.v4_number() <= pool.last.v4_number()
                                                     : pool.first.data <= pool.last.data);
  if (!ordered) {
    throw Error(Code::invalid_argument, "{} to {} is no pool of addresses", pool.first.to_string(),
                pool.last.to_string());
  }
}

void add_ports(const config::NetworkEndpoint& endpoint, bool open, CardPolicy& policy,
               std::vector<std::string>& complaints) {
  for (const std::string& text : endpoint.ports) {
    try {
      const PortSpec spec = parse_port_spec(text);
      if (open) policy.ports.push_back(spec.open);
      policy.redirects.insert(policy.redirects.end(), spec.redirects.begin(), spec.redirects.end());
    } catch (const Error& error) {
      complaints.push_back(fmt::format("network {}: {}", endpoint.network.common.name, error.message()));
    }
  }
}

void add_endpoint(const config::NetworkEndpoint& endpoint, CardPolicy& policy,
                  std::vector<std::string>& complaints) {
  using config::TrustLevel;
  const TrustLevel level = endpoint.network.trust_level;
  const bool bridge = endpoint.network.type == kBridge;
  if (bridge || level == TrustLevel::peers) {
    for (const config::IpRange& pool : endpoint.network.pools) {
      check_pool(pool);
      policy.trusted.push_back(pool);
    }
  }
  if (bridge) {
    policy.outbound = true;
    return;
  }
  switch (level) {
    case TrustLevel::closed:
      break;
    case TrustLevel::outbound:
      policy.outbound = true;
      break;
    case TrustLevel::open:
      policy.everything = true;
      add_ports(endpoint, false, policy, complaints);
      break;
    case TrustLevel::peers:
      policy.outbound = true;
      add_ports(endpoint, false, policy, complaints);
      break;
    default:
      policy.outbound = true;
      policy.ping = true;
      add_ports(endpoint, true, policy, complaints);
  }
}

}  // namespace

PortSpec parse_port_spec(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view protocol = slash == std::string_view::npos ? "tcp" : text.substr(slash + 1);
  const std::string_view ports = text.substr(0, slash);
  const std::size_t colon = ports.find(':');
  PortSpec spec;
  try {
    if (protocol == "udp") {
      spec.open.protocol = Protocol::udp;
    } else if (protocol != "tcp") {
      throw bad_spec(text);
    }
    const PortRange outer = parse_range(ports.substr(0, colon));
    spec.open.ports = colon == std::string_view::npos ? outer : parse_range(ports.substr(colon + 1));
    if (spec.open.ports == outer) return spec;
    const bool single = outer.first == outer.last && spec.open.ports.first == spec.open.ports.last;
    if (!single) throw bad_spec(text);
    spec.redirects.push_back({spec.open.protocol, outer.first, spec.open.ports.first});
  } catch (const Error&) {
    throw bad_spec(text);
  }
  return spec;
}

CardPolicy make_policy(unsigned interface, const std::vector<const config::NetworkEndpoint*>& endpoints,
                       std::vector<std::string>& complaints) {
  CardPolicy policy;
  policy.interface = interface;
  for (const config::NetworkEndpoint* endpoint : endpoints) {
    if (!endpoint->is_static && (!endpoint->ip || endpoint->ip->empty())) policy.dhcp = true;
    if (config::wants_firewall(*endpoint)) add_endpoint(*endpoint, policy, complaints);
  }
  return policy;
}

}  // namespace berth::tether::firewall
