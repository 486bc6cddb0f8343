#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "tether/dhcp/client.hpp"
#include "tether/firewall/policy.hpp"
#include "tether/os/devices.hpp"
#include "tether/os/modules.hpp"
#include "tether/os/network_plan.hpp"
#include "tether/os/rtnetlink.hpp"

namespace berth::tether::os {

/// The machine's interfaces, made to be what the configuration says.
class Network {
 public:
  /// `on_change` is called when a lease has come, changed or gone since apply() returned.
  Network(const asio::any_io_executor& executor, Devices& devices, Modules& modules,
          std::function<void()> on_change);
  ~Network();
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  void set_loopback_up();

  struct Limits {
    Milliseconds card;   ///< for a network card to appear
    Milliseconds lease;  ///< for a DHCP server to answer
  };
  /// Applies what differs from what the machine has; the same again changes nothing. `host_name` is what DHCP
  /// servers are told. May be cancelled where it waits, and begun anew with other endpoints. Throws, naming
  /// the network: not-found when a card does not come, timeout when no lease comes, already-exists when
  /// another interface has a wanted name, and what plan_cards throws.
  Task<> apply(Endpoints endpoints, std::string host_name, Limits limits);

  /// Gives leases back and asks for none any more.
  void release();

  /// The machine is a copy of another, which goes on with the addresses, on networks that this one has no
  /// part in. An only card whose addresses are static and not IPv6 stays up until it is given its own; others
  /// are set down and lose theirs, those of the hardware as well (link::kUnnamedCard), and a card gets the
  /// address of the one with the same networks.
  void leave_as_copy();

  /// Writes into the endpoints what they were assigned.
  void record(Endpoints& endpoints) const;

  struct Counters {
    std::uint64_t received_bytes = 0;
    std::uint64_t sent_bytes = 0;
  };
  /// Of all interfaces but the loopback.
  Counters counters() const;

 private:
  struct Card {
    CardPlan plan;
    unsigned interface = 0;
    std::uint32_t first_mtu = 0;  ///< as the card came
    InterfaceSettings applied;    ///< what the interface has
    std::set<InterfaceAddress> announced;
    bool up = false;
    bool has_ipv6 = false;
    std::shared_ptr<dhcp::Client> client;
    std::optional<Lease> lease;
    std::optional<Error> failure;  ///< why the lease could not be applied
    bool was_leased = false;       ///< a lease has come; who loses one waits for the next in the background
  };

  bool stays_up_in_copy(const std::string& device, const Card& card) const;
  void start_client(Card& card, const std::string& host_name);
  void take_lease(const std::string& device);
  void stop_client(Card& card);
  Task<> wait_leases(Milliseconds limit);
  const std::optional<Lease>& lease_of(const std::string& endpoint) const;
  using Links = std::map<std::string, Link>;  ///< by device

  void set_mtu(Card& card, const Link& link);
  void name_cards(const std::vector<CardPlan>& plans, std::vector<Link>& there);
  std::optional<unsigned> unnamed_card(const CardPlan& plan, const std::vector<Link>& there) const;
  void name_card(const std::vector<CardPlan>& plans, std::vector<Link>& there);
  void find_again(Links& links);
  Link link_of(unsigned interface);
  Task<> find_cards(const std::vector<CardPlan>& plans, Milliseconds limit, Links& links);
  void rename_cards(const std::vector<CardPlan>& plans, Links& links);
  void rename(const std::string& from, const std::string& to);
  void apply_firewall(const std::vector<CardPlan>& plans, const Endpoints& endpoints, const Links& links);
  void remove_cards(const std::vector<CardPlan>& plans);
  void bring_up(Card& card, const Link& link);
  void reconcile(Card& card);
  void announce(Card& card);
  InterfaceSettings wanted_settings(const Card& card) const;

  asio::any_io_executor executor_;
  Devices& devices_;
  Modules& modules_;
  std::function<void()> on_change_;
  const MonotonicClock clock_;
  Event lease_changed_;
  Rtnetlink rtnetlink_;
  Endpoints endpoints_;
  std::vector<firewall::CardPolicy> policies_;         ///< that the kernel has
  std::map<std::string, Card> cards_;                  ///< by device
  std::map<unsigned, std::vector<std::string>> left_;  ///< unnamed interfaces, the endpoints of their cards
};

}  // namespace berth::tether::os
