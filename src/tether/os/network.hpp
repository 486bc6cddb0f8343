#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "tether/os/devices.hpp"
#include "tether/os/rtnetlink.hpp"

namespace berth::tether::os {

/// The machine's interfaces, made to be what the configuration says.
class Network {
 public:
  explicit Network(Devices& devices) : devices_(devices) {}

  void set_loopback_up();

  /// Applies what differs from the last time and records in each endpoint what it was assigned. An endpoint's
  /// common.id (or else its key) is the MAC address of its interface. Throws not-found when an interface has
  /// not come within `limit`, unsupported for an endpoint without an address.
  Task<> apply(std::map<std::string, config::NetworkEndpoint>& endpoints, Milliseconds limit);

  struct Counters {
    std::uint64_t received_bytes = 0;
    std::uint64_t sent_bytes = 0;
  };
  /// Of all interfaces but the loopback.
  Counters counters() const;

 private:
  struct Route {
    InterfaceAddress destination;
    std::string gateway;
    bool operator==(const Route&) const = default;
  };
  struct Settings {
    unsigned interface = 0;
    std::vector<InterfaceAddress> addresses;
    std::vector<Route> routes;
    bool operator==(const Settings&) const = default;
  };

  static Settings settings_of(const config::NetworkEndpoint& endpoint, unsigned interface);
  void change(const Settings& before, const Settings& after);

  Devices& devices_;
  Rtnetlink rtnetlink_;
  std::map<std::string, Settings> applied_;
};

/// The name servers of all endpoints, each once, the default network's first.
std::vector<std::string> nameservers_of(const std::map<std::string, config::NetworkEndpoint>& endpoints);
/// The addresses the machine has, as text.
std::vector<std::string> addresses_of(const std::map<std::string, config::NetworkEndpoint>& endpoints);

}  // namespace berth::tether::os
