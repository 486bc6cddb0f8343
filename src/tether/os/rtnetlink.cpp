#include "tether/os/rtnetlink.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"

namespace berth::tether::os {

/// One message: header, body, attributes.
class Rtnetlink::Request {
 public:
  template <typename Body>
  Request(std::uint16_t type, std::uint16_t flags, const Body& body) {
    header().nlmsg_type = type;
    header().nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    header().nlmsg_len = NLMSG_LENGTH(sizeof body);
    std::memcpy(NLMSG_DATA(&header()), &body, sizeof body);
  }

  void add(std::uint16_t type, std::string_view value) {
    const std::size_t at = NLMSG_ALIGN(header().nlmsg_len);
    if (at + RTA_SPACE(value.size()) > bytes_.size())
      throw Error(Code::invalid_argument, "a netlink request is too long");
    auto* attribute = reinterpret_cast<rtattr*>(bytes_.data() + at);
    attribute->rta_type = type;
    attribute->rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size()));
    std::memcpy(RTA_DATA(attribute), value.data(), value.size());
    header().nlmsg_len = static_cast<std::uint32_t>(at + attribute->rta_len);
  }
  void add(std::uint16_t type, std::uint32_t value) {
    add(type, {reinterpret_cast<const char*>(&value), sizeof value});
  }

  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

 private:
  alignas(NLMSG_ALIGNTO) std::array<char, 512> bytes_{};
};

namespace {

std::uint8_t family_of(std::string_view address) {
  if (address.size() == 4) return AF_INET;
  if (address.size() == 16) return AF_INET6;
  throw Error(Code::invalid_argument, "an address has {} bytes", address.size());
}

ifaddrmsg address_body(unsigned interface, const InterfaceAddress& address) {
  ifaddrmsg body{};
  body.ifa_family = family_of(address.bytes);
  body.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  body.ifa_index = interface;
  return body;
}

}  // namespace

Rtnetlink::Rtnetlink()
    : socket_(check(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "open rtnetlink")) {}

void Rtnetlink::set_up(unsigned interface) {
  ifinfomsg body{};
  body.ifi_index = static_cast<int>(interface);
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  Request request(RTM_NEWLINK, 0, body);
  send(request, 0, "set a network interface up");
}

void Rtnetlink::add_address(unsigned interface, const InterfaceAddress& address) {
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address_body(interface, address));
  request.add(IFA_LOCAL, address.bytes);
  request.add(IFA_ADDRESS, address.bytes);
  send(request, EEXIST, "set a network address");
}

void Rtnetlink::remove_address(unsigned interface, const InterfaceAddress& address) {
  Request request(RTM_DELADDR, 0, address_body(interface, address));
  request.add(IFA_LOCAL, address.bytes);
  send(request, EADDRNOTAVAIL, "remove a network address");
}

void Rtnetlink::add_route(unsigned interface, const InterfaceAddress& destination, std::string_view gateway) {
  route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, interface, destination, gateway);
}

void Rtnetlink::remove_route(unsigned interface, const InterfaceAddress& destination,
                             std::string_view gateway) {
  route(RTM_DELROUTE, 0, interface, destination, gateway);
}

void Rtnetlink::route(std::uint16_t type, std::uint16_t flags, unsigned interface,
                      const InterfaceAddress& destination, std::string_view gateway) {
  rtmsg body{};
  body.rtm_family = family_of(gateway);
  body.rtm_dst_len = static_cast<std::uint8_t>(destination.prefix_length);
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  Request request(type, flags, body);
  if (!destination.bytes.empty()) request.add(RTA_DST, destination.bytes);
  request.add(RTA_GATEWAY, gateway);
  request.add(RTA_OIF, interface);
  send(request, type == RTM_DELROUTE ? ESRCH : EEXIST,
       type == RTM_DELROUTE ? "remove a route" : "set a route");
}

void Rtnetlink::send(Request& request, int tolerated, std::string_view doing) {
  request.header().nlmsg_seq = ++sequence_;
  check(::send(socket_.get(), &request.header(), request.header().nlmsg_len, 0), doing);
  alignas(nlmsghdr) std::array<char, 4096> answer;
  while (true) {
    const auto size = check(::recv(socket_.get(), answer.data(), answer.size(), 0), doing);
    const auto& header = *reinterpret_cast<const nlmsghdr*>(answer.data());
    if (!NLMSG_OK(&header, static_cast<std::uint32_t>(size)) || header.nlmsg_seq != sequence_) continue;
    if (header.nlmsg_type != NLMSG_ERROR) continue;
    const int failure = -static_cast<const nlmsgerr*>(NLMSG_DATA(&header))->error;
    if (failure == 0 || failure == tolerated) return;
    throw errno_error(doing, failure);
  }
}

unsigned interface_index(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw Error(Code::not_found, "there is no network interface {}", name);
  return index;
}

}  // namespace berth::tether::os
