#include "engine/ports.hpp"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace berth::engine {
namespace {

sockaddr_in address_of(const record::PortBinding& binding) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(binding.host_port);
  const std::string& text = binding.host_address;
  if (!text.empty() && ::inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    throw Error(Code::invalid_argument, "'{}' is not an IPv4 address to publish a port on", text);
  }
  return address;
}

UniqueFd bind_socket(const record::PortBinding& binding) {
  const int type = binding.protocol == record::Protocol::udp ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(check(::socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket"));
  // As QEMU does: a port that only has connections in TIME_WAIT is free.
  const int yes = 1;
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const sockaddr_in address = address_of(binding);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const std::string where =
      fmt::format("{}:{}/{}", binding.host_address.empty() ? "0.0.0.0" : binding.host_address,
                  binding.host_port, type == SOCK_DGRAM ? "udp" : "tcp");
  switch (errno) {
    case EADDRINUSE:
      if (binding.host_port == 0) throw Error(Code::capacity, "this host has no free port left: {}", where);
      throw Error(Code::already_exists, "port {} is taken by another program: choose another one", where);
    case EACCES:
      throw Error(Code::invalid_argument, "an ordinary user cannot publish port {}: choose one from 1024 on",
                  where);
    case EADDRNOTAVAIL:
      throw Error(Code::invalid_argument, "this host has no address {}", binding.host_address);
    default:
      throw errno_error("publish port " + where);
  }
}

std::uint16_t port_of(int socket) {
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  check(::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size), "getsockname");
  return ntohs(bound.sin_port);
}

}  // namespace

std::uint16_t HostPorts::free_port_for(const record::PortBinding& binding) const {
  std::vector<UniqueFd> refused;  // open, so that the kernel names others; each taken port comes once at most
  while (refused.size() <= taken_.size()) {
    UniqueFd drawn = bind_socket(binding);
    record::PortBinding candidate = binding;
    candidate.host_port = port_of(drawn.get());
    const auto is_taken = [&](const auto& other) { return record::overlap(candidate, other); };
    if (std::none_of(taken_.begin(), taken_.end(), is_taken)) return candidate.host_port;
    refused.push_back(std::move(drawn));
  }
  throw Error(Code::capacity, "this host has no free port left for port {} of the container",
              binding.guest_port);
}

void HostPorts::choose(std::vector<record::PortBinding>& bindings) {
  for (const record::PortBinding& binding : bindings) {
    if (binding.host_port != 0) taken_.push_back(binding);
  }
  for (record::PortBinding& binding : bindings) {
    if (binding.host_port != 0) continue;
    binding.host_port = free_port_for(binding);
    taken_.push_back(binding);
  }
}

void check_ports_free(const std::vector<record::PortBinding>& bindings) {
  for (const record::PortBinding& binding : bindings) {
    const UniqueFd bound = bind_socket(binding);
    // Linux lets a second socket bind with SO_REUSEADDR; it is listening that shows whether somebody is
    // there.
    if (binding.protocol == record::Protocol::tcp && ::listen(bound.get(), 1) != 0 && errno == EADDRINUSE) {
      throw Error(Code::already_exists, "port {} is taken by another program: choose another one",
                  binding.host_port);
    }
  }
}

}  // namespace berth::engine
