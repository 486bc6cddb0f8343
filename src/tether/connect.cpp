#include "tether/connect.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::tether {
namespace {

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

Address ipv4(const in_addr& host, std::uint16_t port) {
  Address address;
  sockaddr_in form{};
  form.sin_family = AF_INET;
  form.sin_port = htons(port);
  form.sin_addr = host;
  std::memcpy(&address.bytes, &form, sizeof form);
  address.size = sizeof form;
  return address;
}

Address ipv6(const in6_addr& host, std::uint16_t port) {
  Address address;
  sockaddr_in6 form{};
  form.sin6_family = AF_INET6;
  form.sin6_port = htons(port);
  form.sin6_addr = host;
  std::memcpy(&address.bytes, &form, sizeof form);
  address.size = sizeof form;
  return address;
}

std::vector<Address> addresses_of(const link::ssh::ForwardTarget& target) {
  if (target.host == "localhost")
    return {ipv4({htonl(INADDR_LOOPBACK)}, target.port), ipv6(in6addr_loopback, target.port)};
  in_addr four{};
  if (::inet_pton(AF_INET, target.host.c_str(), &four) == 1) return {ipv4(four, target.port)};
  in6_addr six{};
  if (::inet_pton(AF_INET6, target.host.c_str(), &six) == 1) return {ipv6(six, target.port)};
  throw Error(Code::invalid_argument, "cannot forward to {}: only to localhost and addresses",
              printable(target.host));
}

/// 0 or errno. Within the machine the answer is there as soon as connect(2) has returned.
int begin_connecting(int socket, const Address& address) {
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&address.bytes), address.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd state{socket, POLLOUT, 0};
  if (::poll(&state, 1, 0) <= 0) return 0;
  int failure = 0;
  socklen_t size = sizeof failure;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 ? failure : errno;
}

}  // namespace

UniqueFd connect_in_pod(const link::ssh::ForwardTarget& target) {
  int failure = 0;
  for (const Address& address : addresses_of(target)) {
    UniqueFd socket(::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
      failure = errno;
      continue;
    }
    failure = begin_connecting(socket.get(), address);
    if (failure == 0) return socket;
  }
  throw Error(Code::unavailable, "port {}: {}", target.port, std::strerror(failure));
}

}  // namespace berth::tether
