#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tether/os/netlink.hpp"

namespace berth::tether::os {

/// An address in network byte order: 4 bytes for IPv4, 16 for IPv6.
struct InterfaceAddress {
  std::string bytes;
  unsigned prefix_length = 0;

  auto operator<=>(const InterfaceAddress&) const = default;
};

/// A network interface as the kernel has it.
struct Link {
  unsigned interface = 0;
  std::string name;
  std::string hardware_address;  ///< bytes; none of what has no such address
  std::uint32_t mtu = 0;
};

/// rtnetlink(7), as much as a guest needs. Each call waits for the kernel's answer and throws its error.
/// What is there already, or is gone already, is no error.
class Rtnetlink {
 public:
  Rtnetlink();

  /// /sys shows an interface that comes before the rest of the kernel knows it: returns when all that it
  /// shows now are there, or have gone.
  void wait_registered();
  /// All that are there. Far less to do than for a search of /sys, and nothing is there before the kernel
  /// knows it.
  std::vector<Link> links();
  void set_up(unsigned interface);
  /// It loses its routes and IPv6 addresses.
  void set_down(unsigned interface);
  /// Of an interface that is down.
  void rename(unsigned interface, std::string_view name);
  /// Of an interface that is down, or whose driver allows it while it is up.
  void set_hardware_address(unsigned interface, std::string_view bytes);
  void set_mtu(unsigned interface, std::uint32_t mtu);
  void add_address(unsigned interface, const InterfaceAddress& address);
  void remove_address(unsigned interface, const InterfaceAddress& address);
  /// `destination` without bytes is the default route.
  void add_route(unsigned interface, const InterfaceAddress& destination, std::string_view gateway);
  void remove_route(unsigned interface, const InterfaceAddress& destination, std::string_view gateway);

 private:
  void set_link(unsigned interface, bool up);
  void route(std::uint16_t type, std::uint16_t flags, unsigned interface, const InterfaceAddress& destination,
             std::string_view gateway);
  void send(NetlinkMessage& request, int tolerated, std::string_view doing);

  NetlinkSocket socket_;
};

/// The kernel's number of an interface. Throws not-found.
unsigned interface_index(const std::string& name);
/// The reverse. Throws not-found.
std::string interface_name(unsigned index);

}  // namespace berth::tether::os
