#include "tether/os/network.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "link/messages.hpp"
#include "tether/firewall/nftables.hpp"
#include "tether/os/arp.hpp"
#include "tether/os/interfaces.hpp"
#include "tether/os/ipv6_settings.hpp"

namespace berth::tether::os {
namespace {

constexpr unsigned kLoopbackIndex = 1;

std::uint32_t random_number() {
  const std::string bytes = random_bytes(sizeof(std::uint32_t));
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

Lease lease_from(const dhcp::Reply& reply) {
  Lease lease;
  lease.address = {config::IpAddress::v4(reply.address),
                   config::IpMask::of(static_cast<int>(reply.prefix_length), 4)};
  if (reply.router != 0) lease.gateway = config::IpAddress::v4(reply.router);
  for (const std::uint32_t server : reply.nameservers)
    lease.nameservers.push_back(config::IpAddress::v4(server));
  lease.mtu = reply.mtu;
  return lease;
}

/// As with Docker, only a card that has an address of it has IPv6.
bool has_ipv6(const InterfaceSettings& settings) {
  return std::any_of(settings.addresses.begin(), settings.addresses.end(),
                     [](const auto& address) { return address.bytes.size() == sizeof(in6_addr); });
}

}  // namespace

Network::Network(const asio::any_io_executor& executor, Devices& devices, Modules& modules,
                 std::function<void()> on_change)
    : executor_(executor),
      devices_(devices),
      modules_(modules),
      on_change_(std::move(on_change)),
      lease_changed_(executor) {}

Network::~Network() {
  release();
}

void Network::release() {
  for (auto& [device, card] : cards_) {
    if (card.client) card.client->stop();
    card.client.reset();
  }
}

/// It needs nothing but another address of its own, which it can get while it is up, see name_card().
bool Network::stays_up_in_copy(const std::string& device, const Card& card) const {
  return cards_.size() == 1 && is_mac_address(device) && !card.client && !card.has_ipv6 &&
         interface_exists(card.interface);
}

void Network::leave_as_copy() {
  endpoints_.clear();
  if (!cards_.empty() && stays_up_in_copy(cards_.begin()->first, cards_.begin()->second)) {
    auto only = cards_.extract(cards_.begin());
    only.key() = link::kUnnamedCard;
    only.mapped().announced.clear();
    cards_.insert(std::move(only));
    return;
  }
  const dhcp::Mac unnamed = parse_mac(link::kUnnamedCard);
  for (auto& [device, card] : cards_) {
    if (card.client) card.client->abandon();
    if (!interface_exists(card.interface)) continue;
    rtnetlink_.set_down(card.interface);
    for (const InterfaceAddress& address : card.applied.addresses)
      rtnetlink_.remove_address(card.interface, address);
    rtnetlink_.set_mtu(card.interface, card.first_mtu);
    if (!is_mac_address(device)) continue;
    rtnetlink_.set_hardware_address(card.interface, bytes_of(unnamed));
    left_[card.interface] = card.plan.endpoints;
  }
  cards_.clear();
}

void Network::set_loopback_up() {
  rtnetlink_.set_up(kLoopbackIndex);
}

Task<> Network::apply(Endpoints endpoints, std::string host_name, Limits limits) {
  std::vector<CardPlan> plans = plan_cards(endpoints);
  Links links;
  co_await find_cards(plans, limits.card, links);
  rename_cards(plans, links);
  // Before anything can come in by an address.
  apply_firewall(plans, endpoints, links);
  endpoints_ = std::move(endpoints);
  remove_cards(plans);
  for (CardPlan& plan : plans) {
    Card& card = cards_[plan.device];
    card.plan = std::move(plan);
    for_networks(card.plan, [&] {
      bring_up(card, links.at(card.plan.device));
      if (!card.plan.dynamic) stop_client(card);
      reconcile(card);
      announce(card);
      card.failure.reset();
      if (card.plan.dynamic && !card.client) start_client(card, host_name);
    });
  }
  co_await wait_leases(limits.lease);
}

void Network::start_client(Card& card, const std::string& host_name) {
  const std::string device = card.plan.device;
  dhcp::Client::Parts parts{dhcp::open_transport(executor_, card.interface), clock_,
                            [this, device] { take_lease(device); }};
  dhcp::Exchange::Settings settings{mac_of(link_of(card.interface)), host_name, random_number};
  card.client = std::make_shared<dhcp::Client>(executor_, std::move(parts), std::move(settings));
  card.client->start();
}

void Network::stop_client(Card& card) {
  if (card.client) card.client->stop();
  card.client.reset();
  card.lease.reset();
  card.failure.reset();
  card.was_leased = false;
}

void Network::take_lease(const std::string& device) {
  const auto found = cards_.find(device);
  if (found == cards_.end() || !found->second.client) return;
  Card& card = found->second;
  const auto& reply = card.client->lease();
  card.lease = reply ? std::optional(lease_from(*reply)) : std::nullopt;
  card.was_leased = true;
  if (!card.lease) log::warning("network {}: its lease is over", card.plan.networks);
  card.failure.reset();
  try {
    for_networks(card.plan, [&] {
      set_mtu(card, link_of(card.interface));
      reconcile(card);
      announce(card);
    });
  } catch (const Error& error) {
    log::error("apply a lease: {}", error.what());
    card.failure = error;
  }
  lease_changed_.notify_all();
  on_change_();
}

Task<> Network::wait_leases(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    for (const auto& [device, card] : cards_) {
      if (card.failure) throw Error(*card.failure);
    }
    const auto missing = std::find_if(cards_.begin(), cards_.end(), [](const auto& entry) {
      return entry.second.client && !entry.second.was_leased;
    });
    if (missing == cards_.end()) co_return;
    const std::string networks = missing->second.plan.networks;
    if (!co_await lease_changed_.wait_until(deadline)) {
      throw Error(Code::timeout, "network {}: no DHCP server gave an address within {} seconds", networks,
                  std::chrono::duration_cast<std::chrono::seconds>(limit).count());
    }
  }
}

const std::optional<Lease>& Network::lease_of(const std::string& endpoint) const {
  static const std::optional<Lease> kNone;
  for (const auto& [device, card] : cards_) {
    const auto& keys = card.plan.endpoints;
    if (std::find(keys.begin(), keys.end(), endpoint) != keys.end()) return card.lease;
  }
  return kNone;
}

void Network::apply_firewall(const std::vector<CardPlan>& plans, const Endpoints& endpoints,
                             const Links& links) {
  std::vector<firewall::CardPolicy> policies;
  std::vector<std::string> complaints;
  for (const CardPlan& plan : plans) {
    std::vector<const config::NetworkEndpoint*> on_card;
    for (const std::string& key : plan.endpoints) on_card.push_back(&endpoints.at(key));
    if (std::none_of(on_card.begin(), on_card.end(),
                     [](const auto* endpoint) { return config::wants_firewall(*endpoint); })) {
      continue;
    }
    for_networks(plan, [&] {
      policies.push_back(firewall::make_policy(links.at(plan.device).interface, on_card, complaints));
    });
  }
  if (policies == policies_) return;
  for (const std::string& complaint : complaints) log::warning("{}", complaint);
  try {
    modules_.load(kFirewallModules);
    firewall::commit(firewall::make_transaction(policies));
  } catch (Error& error) {
    error.add_context("firewall");
    throw;
  }
  policies_ = std::move(policies);
}

void Network::remove_cards(const std::vector<CardPlan>& plans) {
  for (auto entry = cards_.begin(); entry != cards_.end();) {
    const auto current = entry++;
    Card& card = current->second;
    const bool stays = std::any_of(plans.begin(), plans.end(),
                                   [&](const CardPlan& plan) { return plan.device == current->first; });
    if (stays) continue;
    try {
      stop_client(card);
      card.plan.endpoints.clear();
      // The card may have gone itself.
      if (interface_exists(card.interface)) {
        reconcile(card);
        rtnetlink_.set_down(card.interface);
        if (current->first == link::kUnnamedCard) take_driver_away(interface_name(card.interface));
      }
    } catch (const Error& error) {
      log::warning("leaving the network {}: {}", card.plan.networks, error.what());
    }
    cards_.erase(current);
  }
}

void Network::bring_up(Card& card, const Link& link) {
  if (card.interface != link.interface) {
    stop_client(card);
    CardPlan plan = std::move(card.plan);
    card = {};
    card.plan = std::move(plan);
    card.interface = link.interface;
    card.first_mtu = link.mtu;
  }
  set_mtu(card, link);
  if (card.up) return;
  ignore_router_advertisements(link.name);
  use_ipv6(link.name, card.has_ipv6);
  rtnetlink_.set_up(link.interface);
  card.up = true;
}

void Network::set_mtu(Card& card, const Link& link) {
  std::uint32_t mtu = card.plan.mtu;
  if (mtu == 0) mtu = card.lease && card.lease->mtu != 0 ? card.lease->mtu : card.first_mtu;
  if (mtu != link.mtu) rtnetlink_.set_mtu(card.interface, mtu);
}

InterfaceSettings Network::wanted_settings(const Card& card) const {
  InterfaceSettings wanted;
  for (const std::string& key : card.plan.endpoints) {
    InterfaceSettings settings = settings_of(endpoints_.at(key), card.lease);
    wanted.addresses.merge(settings.addresses);
    wanted.routes.merge(settings.routes);
  }
  return wanted;
}

void Network::reconcile(Card& card) {
  const InterfaceSettings wanted = wanted_settings(card);
  if (wanted == card.applied) return;
  const bool needs_ipv6 = has_ipv6(wanted);
  if (needs_ipv6 != card.has_ipv6) use_ipv6(interface_name(card.interface), needs_ipv6);
  card.has_ipv6 = needs_ipv6;
  InterfaceSettings& applied = card.applied;
  for (const Route& route : InterfaceSettings(applied).routes) {
    if (wanted.routes.contains(route)) continue;
    rtnetlink_.remove_route(card.interface, route.destination, route.gateway);
    applied.routes.erase(route);
  }
  for (const InterfaceAddress& address : wanted.addresses) {
    if (applied.addresses.contains(address)) continue;
    rtnetlink_.add_address(card.interface, address);
    applied.addresses.insert(address);
  }
  bool lost = false;
  for (const InterfaceAddress& address : InterfaceSettings(applied).addresses) {
    if (wanted.addresses.contains(address)) continue;
    rtnetlink_.remove_address(card.interface, address);
    applied.addresses.erase(address);
    lost = true;
  }
  // With an address go those that are secondary to it, and routes.
  if (lost) {
    for (const InterfaceAddress& address : wanted.addresses) rtnetlink_.add_address(card.interface, address);
    applied.routes.clear();
  }
  for (const Route& route : wanted.routes) {
    if (applied.routes.contains(route)) continue;
    rtnetlink_.add_route(card.interface, route.destination, route.gateway);
    applied.routes.insert(route);
  }
}

/// A clone and a copy have the address of the machine that they were, on a card with another one.
void Network::announce(Card& card) {
  std::erase_if(card.announced, [&](const auto& known) { return !card.applied.addresses.contains(known); });
  for (const InterfaceAddress& address : card.applied.addresses) {
    if (address.bytes.size() != sizeof(in_addr) || !card.announced.insert(address).second) continue;
    const dhcp::Mac mac = mac_of(link_of(card.interface));
    announce_address(card.interface, bytes_of(mac), address.bytes);
  }
}

void Network::record(Endpoints& endpoints) const {
  for (auto& [key, endpoint] : endpoints) {
    const auto applied = endpoints_.find(key);
    if (applied == endpoints_.end()) continue;
    const Assignment assignment = assignment_of(applied->second, lease_of(key));
    endpoint.assigned = assignment.address;
    endpoint.network.assigned.gateway = assignment.gateway;
    endpoint.network.assigned.nameservers = assignment.nameservers;
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

}  // namespace berth::tether::os
