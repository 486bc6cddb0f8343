#include "cli/ports.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <tuple>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

using record::PortBinding;
using record::Protocol;

struct Range {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  std::size_t size() const { return static_cast<std::size_t>(last - first) + 1; }
};

Error bad_publish(std::string_view text, std::string_view why) {
  return Error(Code::invalid_argument, "-p '{}': {}; use [[IP:]HOST:]GUEST[/tcp|udp]", printable(text), why);
}

Range parse_range(std::string_view text, std::string_view all) {
  const auto number = [&](std::string_view digits) {
    try {
      return static_cast<std::uint16_t>(parse_integer(digits, 1, 65535, "port"));
    } catch (const Error& error) {
      throw bad_publish(all, error.message());
    }
  };
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {number(text), number(text)};
  const Range range{number(text.substr(0, dash)), number(text.substr(dash + 1))};
  if (range.last < range.first) throw bad_publish(all, "the range ends before it begins");
  return range;
}

/// Cuts the part behind the last ':' off.
std::string_view take_last(std::string_view& text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view last = text.substr(colon == std::string_view::npos ? 0 : colon + 1);
  text = colon == std::string_view::npos ? std::string_view() : text.substr(0, colon);
  return last;
}

std::string parse_address(std::string_view text, std::string_view all) {
  const bool brackets = text.starts_with('[') && text.ends_with(']');
  std::string address(brackets ? text.substr(1, text.size() - 2) : text);
  in6_addr parsed{};
  const int family = brackets || address.find(':') != std::string::npos ? AF_INET6 : AF_INET;
  if (::inet_pton(family, address.c_str(), &parsed) != 1) throw bad_publish(all, "the IP address is not one");
  return address;
}

Protocol take_protocol(std::string_view& text, std::string_view all) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return Protocol::tcp;
  const std::string_view name = text.substr(slash + 1);
  text = text.substr(0, slash);
  if (name == "tcp") return Protocol::tcp;
  if (name == "udp") return Protocol::udp;
  throw bad_publish(all, "the protocol is neither tcp nor udp");
}

bool continues(const PortBinding& last, const PortBinding& next) {
  return last.host_address == next.host_address && last.protocol == next.protocol &&
         last.host_port + 1 == next.host_port && last.guest_port + 1 == next.guest_port;
}

std::string show_range(std::uint16_t first, std::uint16_t last) {
  return first == last ? std::to_string(first) : fmt::format("{}-{}", first, last);
}

}  // namespace

std::vector<PortBinding> parse_publish(std::string_view text) {
  std::string_view rest = text;
  const Protocol protocol = take_protocol(rest, text);
  const bool has_host = rest.find(':') != std::string_view::npos;
  const Range guest = parse_range(take_last(rest), text);
  const bool has_address = has_host && rest.find(':') != std::string_view::npos;
  const std::string_view host_text = has_host ? take_last(rest) : std::string_view();
  if (has_host && !has_address && host_text.empty()) throw bad_publish(text, "the host port is missing");
  const std::string address = has_address ? parse_address(rest, text) : std::string();

  const bool chosen = host_text.empty();
  const Range host = chosen ? guest : parse_range(host_text, text);
  if (host.size() != guest.size()) throw bad_publish(text, "the two ranges differ in length");
  if (guest.size() > kPublishLimit) {
    throw bad_publish(text, fmt::format("{} ports are more than the {} that one option may publish",
                                        guest.size(), kPublishLimit));
  }
  std::vector<PortBinding> ports;
  for (std::size_t i = 0; i < guest.size(); ++i) {
    ports.push_back({.host_address = address,
                     .host_port = static_cast<std::uint16_t>(chosen ? 0 : host.first + i),
                     .guest_port = static_cast<std::uint16_t>(guest.first + i),
                     .protocol = protocol});
  }
  return ports;
}

std::string describe_ports(std::vector<PortBinding> ports) {
  std::sort(ports.begin(), ports.end(), [](const PortBinding& a, const PortBinding& b) {
    return std::tie(a.host_address, a.protocol, a.guest_port, a.host_port) <
           std::tie(b.host_address, b.protocol, b.guest_port, b.host_port);
  });
  std::vector<std::string> shown;
  for (auto first = ports.begin(); first != ports.end();) {
    auto last = first;
    while (std::next(last) != ports.end() && continues(*last, *std::next(last))) ++last;
    PortBinding address = *first;
    address.host_port = 0;
    std::string endpoint = host_endpoint(address);
    endpoint.pop_back();  // the port's 0
    shown.push_back(fmt::format("{}{}->{}/{}", endpoint, show_range(first->host_port, last->host_port),
                                show_range(first->guest_port, last->guest_port), to_string(first->protocol)));
    first = std::next(last);
  }
  return join(shown, ", ");
}

std::string_view to_string(Protocol protocol) {
  return protocol == Protocol::tcp ? "tcp" : "udp";
}

std::string host_endpoint(const PortBinding& port) {
  const std::string address = port.host_address.empty() ? "0.0.0.0" : port.host_address;
  const bool v6 = address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", address, v6 ? "]" : "", port.host_port);
}

}  // namespace berth::cli
