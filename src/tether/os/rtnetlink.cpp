#include "tether/os/rtnetlink.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.hpp"

namespace berth::tether::os {
namespace {

std::uint8_t family_of(std::string_view address) {
  if (address.size() == 4) return AF_INET;
  if (address.size() == 16) return AF_INET6;
  throw Error(Code::invalid_argument, "an address has {} bytes", address.size());
}

ifinfomsg link_body(unsigned interface) {
  ifinfomsg body{};
  body.ifi_index = static_cast<int>(interface);
  return body;
}

ifaddrmsg address_body(unsigned interface, const InterfaceAddress& address) {
  ifaddrmsg body{};
  body.ifa_family = family_of(address.bytes);
  body.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  body.ifa_index = interface;
  // Who gives the addresses sees to it that they are unique; a tentative one cannot be used for a second.
  if (body.ifa_family == AF_INET6) body.ifa_flags = IFA_F_NODAD;
  return body;
}

std::optional<Link> link_from(const std::string& answer) {
  Link link;
  ifinfomsg body{};
  if (answer.size() < sizeof body) return std::nullopt;
  std::memcpy(&body, answer.data(), sizeof body);
  link.interface = static_cast<unsigned>(body.ifi_index);
  const auto* begin = reinterpret_cast<const rtattr*>(answer.data() + NLMSG_ALIGN(sizeof body));
  auto left = static_cast<int>(answer.size() - sizeof body);
  for (const rtattr* attribute = begin; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    const std::string_view value(static_cast<const char*>(RTA_DATA(attribute)), RTA_PAYLOAD(attribute));
    if (attribute->rta_type == IFLA_IFNAME) link.name = value.substr(0, value.find('\0'));
    if (attribute->rta_type == IFLA_ADDRESS) link.hardware_address = value;
    if (attribute->rta_type == IFLA_MTU && value.size() == sizeof link.mtu)
      std::memcpy(&link.mtu, value.data(), sizeof link.mtu);
  }
  return link;
}

}  // namespace

Rtnetlink::Rtnetlink() : socket_(NETLINK_ROUTE) {}

void Rtnetlink::set_link(unsigned interface, bool up) {
  ifinfomsg body = link_body(interface);
  body.ifi_flags = up ? IFF_UP : 0;
  body.ifi_change = IFF_UP;
  NetlinkMessage request(RTM_NEWLINK, NLM_F_ACK, body);
  send(request, 0, up ? "set a network interface up" : "set a network interface down");
}

std::vector<Link> Rtnetlink::links() {
  constexpr std::string_view kDoing = "list network interfaces";
  NetlinkMessage request(RTM_GETLINK, NLM_F_DUMP, link_body(0));
  const std::uint32_t sequence = socket_.next_sequence();
  socket_.send(request.finish(sequence), kDoing);
  std::vector<Link> links;
  for (const std::string& answer : socket_.receive_dump(sequence, kDoing)) {
    if (auto link = link_from(answer)) links.push_back(std::move(*link));
  }
  return links;
}

void Rtnetlink::set_up(unsigned interface) {
  set_link(interface, true);
}

void Rtnetlink::set_down(unsigned interface) {
  set_link(interface, false);
}

void Rtnetlink::wait_registered() {
  // Whatever changes a network interface waits for its turn, also a request that changes nothing.
  constexpr unsigned kLoopback = 1;
  NetlinkMessage request(RTM_NEWLINK, NLM_F_ACK, link_body(kLoopback));
  send(request, 0, "wait for network interfaces");
}

void Rtnetlink::rename(unsigned interface, std::string_view name) {
  NetlinkMessage request(RTM_NEWLINK, NLM_F_ACK, link_body(interface));
  request.add_text(IFLA_IFNAME, name);
  send(request, 0, "rename a network interface");
}

void Rtnetlink::set_hardware_address(unsigned interface, std::string_view bytes) {
  NetlinkMessage request(RTM_NEWLINK, NLM_F_ACK, link_body(interface));
  request.add(IFLA_ADDRESS, bytes);
  send(request, 0, "set the address of a network card");
}

void Rtnetlink::set_mtu(unsigned interface, std::uint32_t mtu) {
  NetlinkMessage request(RTM_NEWLINK, NLM_F_ACK, link_body(interface));
  request.add_u32(IFLA_MTU, mtu);
  send(request, 0, "set the MTU of a network interface");
}

void Rtnetlink::add_address(unsigned interface, const InterfaceAddress& address) {
  NetlinkMessage request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                         address_body(interface, address));
  request.add(IFA_LOCAL, address.bytes);
  request.add(IFA_ADDRESS, address.bytes);
  send(request, EEXIST, "set a network address");
}

void Rtnetlink::remove_address(unsigned interface, const InterfaceAddress& address) {
  NetlinkMessage request(RTM_DELADDR, NLM_F_ACK, address_body(interface, address));
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
  NetlinkMessage request(type, static_cast<std::uint16_t>(NLM_F_ACK | flags), body);
  if (!destination.bytes.empty()) request.add(RTA_DST, destination.bytes);
  request.add(RTA_GATEWAY, gateway);
  request.add_u32(RTA_OIF, interface);
  send(request, type == RTM_DELROUTE ? ESRCH : EEXIST,
       type == RTM_DELROUTE ? "remove a route" : "set a route");
}

void Rtnetlink::send(NetlinkMessage& request, int tolerated, std::string_view doing) {
  const std::uint32_t sequence = socket_.next_sequence();
  socket_.send(request.finish(sequence), doing);
  const int failure = socket_.receive_error(sequence, doing);
  if (failure != 0 && failure != tolerated) throw errno_error(doing, failure);
}

unsigned interface_index(const std::string& name) {
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw Error(Code::not_found, "there is no network interface {}", name);
  return index;
}

std::string interface_name(unsigned index) {
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(index, name.data()) == nullptr)
    throw Error(Code::not_found, "there is no network interface number {}", index);
  return name.data();
}

}  // namespace berth::tether::os
