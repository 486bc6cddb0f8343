#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"

namespace berth::tether::os {

/// An address in network byte order: 4 bytes for IPv4, 16 for IPv6.
struct InterfaceAddress {
  std::string bytes;
  unsigned prefix_length = 0;

  bool operator==(const InterfaceAddress&) const = default;
};

/// rtnetlink(7), as much as a guest needs. Each call waits for the kernel's answer and throws its error.
/// What is there already, or is gone already, is no error.
class Rtnetlink {
 public:
  Rtnetlink();

  void set_up(unsigned interface);
  void add_address(unsigned interface, const InterfaceAddress& address);
  void remove_address(unsigned interface, const InterfaceAddress& address);
  /// `destination` without bytes is the default route.
  void add_route(unsigned interface, const InterfaceAddress& destination, std::string_view gateway);
  void remove_route(unsigned interface, const InterfaceAddress& destination, std::string_view gateway);

 private:
  class Request;
  void route(std::uint16_t type, std::uint16_t flags, unsigned interface, const InterfaceAddress& destination,
             std::string_view gateway);
  void send(Request& request, int tolerated, std::string_view doing);

  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

/// The kernel's number of an interface. Throws not-found.
unsigned interface_index(const std::string& name);

}  // namespace berth::tether::os
