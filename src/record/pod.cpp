#include "record/pod.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "extraconfig/codec.hpp"

namespace berth::record {
namespace {

bool is_any_address(const std::string& address) {
  return address.empty() || address == "::";
}

bool is_v6(const std::string& address) {
  return address.find(':') != std::string::npos;
}

/// One spelling for each address; a text that is none stands for itself.
std::string canonical(const std::string& address) {
  unsigned char bytes[sizeof(in6_addr)];
  const int family = is_v6(address) ? AF_INET6 : AF_INET;
  char text[INET6_ADDRSTRLEN];
  if (::inet_pton(family, address.c_str(), bytes) != 1) return address;
  return ::inet_ntop(family, bytes, text, sizeof text);
}

}  // namespace

bool goes_with_failure(const Pod& pod) {
  return pod.host.remove_unless_started && pod.host.started == 0;
}

extraconfig::Pairs encode(const Pod& pod) {
  extraconfig::Pairs pairs;
  extraconfig::encode(pod.executor, pairs);
  extraconfig::encode(pod.host, pairs, kHostPrefix);
  return pairs;
}

Pod decode(const extraconfig::Pairs& pairs) {
  extraconfig::PairsSource source(pairs);
  return decode(source);
}

Pod decode(extraconfig::Source& pairs) {
  Pod pod;
  extraconfig::decode(pairs, pod.executor);
  extraconfig::decode(pairs, pod.host, kHostPrefix);
  return pod;
}

std::string folder_tag(std::size_t index) {
  return fmt::format("folder{}", index);
}

std::string to_string(const PortBinding& port) {
  const std::string address = port.host_address.empty() ? "0.0.0.0" : canonical(port.host_address);
  return fmt::format("{}:{}/{}", is_v6(address) ? "[" + address + "]" : address, port.host_port,
                     port.protocol == Protocol::tcp ? "tcp" : "udp");
}

bool overlap(const PortBinding& a, const PortBinding& b) {
  if (a.protocol != b.protocol || a.host_port != b.host_port || a.host_port == 0) return false;
  const std::string left = canonical(a.host_address);
  const std::string right = canonical(b.host_address);
  // A socket bound to :: takes IPv4 as well (ipv6(7), IPV6_V6ONLY off).
  if (left == right || is_any_address(left) || is_any_address(right)) return true;
  return (left == "0.0.0.0" && !is_v6(right)) || (right == "0.0.0.0" && !is_v6(left));
}

}  // namespace berth::record
