#include <algorithm>
#include <string_view>

#include "base/error.hpp"
#include "link/messages.hpp"
#include "tether/os/interfaces.hpp"
#include "tether/os/network.hpp"

/// Which interface is which card, and how the interfaces are called.
namespace berth::tether::os {

namespace {

const Link* find_link(const std::vector<Link>& there, unsigned interface) {
  const auto found =
      std::find_if(there.begin(), there.end(), [&](const Link& link) { return link.interface == interface; });
  return found != there.end() ? &*found : nullptr;
}

const Link* find_link(const std::vector<Link>& there, std::string_view mac_address) {
  const dhcp::Mac mac = parse_mac(mac_address);
  const auto found = std::find_if(there.begin(), there.end(),
                                  [&](const Link& link) { return link.hardware_address == bytes_of(mac); });
  return found != there.end() ? &*found : nullptr;
}

}  // namespace

/// Those of a copy, and of a clone whose template had no network.
void Network::name_cards(const std::vector<CardPlan>& plans, std::vector<Link>& there) {
  for (const CardPlan& plan : plans) {
    if (!is_mac_address(plan.device) || cards_.contains(plan.device) || find_link(there, plan.device))
      continue;
    const std::optional<unsigned> unnamed = unnamed_card(plan, there);
    if (!unnamed) return;
    const dhcp::Mac mac = parse_mac(plan.device);
    rtnetlink_.set_hardware_address(*unnamed, bytes_of(mac));
    left_.erase(*unnamed);
    there = rtnetlink_.links();
  }
}

std::optional<unsigned> Network::unnamed_card(const CardPlan& plan, const std::vector<Link>& there) const {
  for (const auto& left : left_) {
    const auto& endpoints = left.second;
    const bool same = std::any_of(plan.endpoints.begin(), plan.endpoints.end(), [&](const std::string& key) {
      return std::find(endpoints.begin(), endpoints.end(), key) != endpoints.end();
    });
    if (same && find_link(there, left.first)) return left.first;
  }
  const Link* any = find_link(there, link::kUnnamedCard);
  return any ? std::optional(any->interface) : std::nullopt;
}

/// See link::kUnnamedCard. The card keeps what the template gave it as far as that is still wanted.
void Network::name_card(const std::vector<CardPlan>& plans, std::vector<Link>& there) {
  const auto unnamed = cards_.find(std::string(link::kUnnamedCard));
  if (unnamed == cards_.end()) return;
  const auto plan = std::find_if(plans.begin(), plans.end(), [&](const CardPlan& candidate) {
    return is_mac_address(candidate.device) && !cards_.contains(candidate.device) &&
           !find_link(there, candidate.device);
  });
  if (plan == plans.end()) return;
  const dhcp::Mac mac = parse_mac(plan->device);
  const unsigned interface = unnamed->second.interface;
  rtnetlink_.set_hardware_address(interface, bytes_of(mac));
  for (Link& link : there) {
    if (link.interface == interface) link.hardware_address = bytes_of(mac);
  }
  auto card = cards_.extract(unnamed);
  card.key() = plan->device;
  cards_.insert(std::move(card));
}

Link Network::link_of(unsigned interface) {
  const std::vector<Link> there = rtnetlink_.links();
  const Link* link = find_link(there, interface);
  if (link == nullptr) throw Error(Code::not_found, "there is no network interface number {}", interface);
  return *link;
}

Task<> Network::find_cards(const std::vector<CardPlan>& plans, Milliseconds limit, Links& links) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::vector<Link> there = rtnetlink_.links();
  name_card(plans, there);
  name_cards(plans, there);
  bool all_known = true;
  for (const CardPlan& plan : plans) {
    const auto card = cards_.find(plan.device);
    const Link* known = card != cards_.end() ? find_link(there, card->second.interface) : nullptr;
    if (known != nullptr) {
      links[plan.device] = *known;
      continue;
    }
    all_known = false;
    try {
      links[plan.device].name = co_await devices_.interface(plan.device, left_until(deadline));
    } catch (Error& error) {
      error.add_context(fmt::format("network {}", plan.networks));
      throw;
    }
  }
  if (!all_known) find_again(links);
}

/// By their names, which /sys may have shown before the rest of the kernel knew them.
void Network::find_again(Links& links) {
  rtnetlink_.wait_registered();
  const std::vector<Link> there = rtnetlink_.links();
  for (auto& [device, link] : links) {
    const auto found = std::find_if(there.begin(), there.end(), [&name = link.name](const Link& candidate) {
      return candidate.name == name;
    });
    if (found == there.end()) throw Error(Code::not_found, "there is no network interface {}", link.name);
    link = *found;
  }
}

/// In two steps, so that cards may swap their names.
void Network::rename_cards(const std::vector<CardPlan>& plans, Links& links) {
  std::vector<const CardPlan*> renamed;
  for (const CardPlan& plan : plans) {
    if (!plan.name.empty() && links.at(plan.device).name != plan.name) renamed.push_back(&plan);
  }
  for (const CardPlan* plan : renamed) {
    const bool frees_it = std::any_of(renamed.begin(), renamed.end(), [&](const CardPlan* other) {
      return other != plan && links.at(other->device).name == plan->name;
    });
    const bool wanted_twice = std::any_of(plans.begin(), plans.end(), [&](const CardPlan& other) {
      return other.device != plan->device && other.name == plan->name;
    });
    if (wanted_twice || (interface_exists(plan->name) && !frees_it)) {
      throw Error(Code::already_exists, "network {}: there is another network interface named {}",
                  plan->networks, plan->name);
    }
  }
  for (const CardPlan* plan : renamed) {
    if (!interface_exists(plan->name)) continue;
    const auto holder = std::find_if(renamed.begin(), renamed.end(), [&](const CardPlan* other) {
      return links.at(other->device).name == plan->name;
    });
    const std::string aside = fmt::format("berth{}", interface_index(plan->name));
    rename(plan->name, aside);
    links[(*holder)->device].name = aside;
  }
  for (const CardPlan* plan : renamed) {
    for_networks(*plan, [&] { rename(links.at(plan->device).name, plan->name); });
    links[plan->device].name = plan->name;
  }
}

/// The kernel renames only what is down, and that loses what it had.
void Network::rename(const std::string& from, const std::string& to) {
  const unsigned interface = interface_index(from);
  rtnetlink_.set_down(interface);
  for (auto& [device, card] : cards_) {
    if (card.interface != interface) continue;
    for (const InterfaceAddress& address : card.applied.addresses)
      rtnetlink_.remove_address(interface, address);
    card.applied = {};
    card.up = false;
    stop_client(card);
  }
  rtnetlink_.rename(interface, to);
}

}  // namespace berth::tether::os
