#include <net/if.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "link/messages.hpp"
#include "tether/os/interfaces.hpp"
#include "tether/os/network.hpp"

/// Which interface is which card, and how the interfaces are called.
namespace berth::tether::os {

/// Those of a copy, and of a clone whose template had no network.
void Network::name_cards(const std::vector<CardPlan>& plans) {
  for (const CardPlan& plan : plans) {
    if (!is_mac_address(plan.device) || cards_.contains(plan.device) || Devices::find_interface(plan.device))
      continue;
    const std::optional<unsigned> unnamed = unnamed_card(plan);
    if (!unnamed) return;
    const dhcp::Mac mac = parse_mac(plan.device);
    rtnetlink_.wait_registered();
    rtnetlink_.set_hardware_address(*unnamed, bytes_of(mac));
    left_.erase(*unnamed);
  }
}

std::optional<unsigned> Network::unnamed_card(const CardPlan& plan) const {
  for (const auto& left : left_) {
    const auto& endpoints = left.second;
    const bool same = std::any_of(plan.endpoints.begin(), plan.endpoints.end(), [&](const std::string& key) {
      return std::find(endpoints.begin(), endpoints.end(), key) != endpoints.end();
    });
    if (same && interface_exists(left.first)) return left.first;
  }
  const std::optional<std::string> any = Devices::find_interface(link::kUnnamedCard);
  return any ? std::optional(interface_index(*any)) : std::nullopt;
}

/// See link::kUnnamedCard. The card keeps what the template gave it as far as that is still wanted.
void Network::name_card(const std::vector<CardPlan>& plans) {
  const auto unnamed = cards_.find(std::string(link::kUnnamedCard));
  if (unnamed == cards_.end()) return;
  const auto plan = std::find_if(plans.begin(), plans.end(), [this](const CardPlan& candidate) {
    return is_mac_address(candidate.device) && !cards_.contains(candidate.device) &&
           !Devices::find_interface(candidate.device);
  });
  if (plan == plans.end()) return;
  const dhcp::Mac mac = parse_mac(plan->device);
  const unsigned interface = unnamed->second.interface;
  rtnetlink_.set_hardware_address(interface, bytes_of(mac));
  auto card = cards_.extract(unnamed);
  card.key() = plan->device;
  cards_.insert(std::move(card));
}

/// The interface of a card that was found before.
std::optional<std::string> Network::known_interface(const std::string& device) const {
  const auto card = cards_.find(device);
  std::array<char, IF_NAMESIZE> name{};
  if (card == cards_.end() || ::if_indextoname(card->second.interface, name.data()) == nullptr)
    return std::nullopt;
  return name.data();
}

Task<> Network::find_cards(std::vector<CardPlan>& plans, Milliseconds limit,
                           std::map<std::string, std::string>& names) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  name_card(plans);
  name_cards(plans);
  bool all_known = true;
  for (const CardPlan& plan : plans) {
    if (const auto known = known_interface(plan.device)) {
      names[plan.device] = *known;
      continue;
    }
    all_known = false;
    try {
      names[plan.device] = co_await devices_.interface(plan.device, left_until(deadline));
    } catch (Error& error) {
      error.add_context(fmt::format("network {}", plan.networks));
      throw;
    }
  }
  if (!all_known) rtnetlink_.wait_registered();
}

/// In two steps, so that cards may swap their names.
void Network::rename_cards(const std::vector<CardPlan>& plans, std::map<std::string, std::string>& names) {
  std::vector<const CardPlan*> renamed;
  for (const CardPlan& plan : plans) {
    if (!plan.name.empty() && names.at(plan.device) != plan.name) renamed.push_back(&plan);
  }
  for (const CardPlan* plan : renamed) {
    const bool frees_it = std::any_of(renamed.begin(), renamed.end(), [&](const CardPlan* other) {
      return other != plan && names.at(other->device) == plan->name;
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
      return names.at(other->device) == plan->name;
    });
    const std::string aside = fmt::format("berth{}", interface_index(plan->name));
    rename(plan->name, aside);
    names[(*holder)->device] = aside;
  }
  for (const CardPlan* plan : renamed) {
    for_networks(*plan, [&] { rename(names.at(plan->device), plan->name); });
    names[plan->device] = plan->name;
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
