#include "tether/connect.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "base/async.hpp"
#include "base/error.hpp"
#include "base/text.hpp"
#include "config/network_types.hpp"

namespace berth::tether {
namespace {

using Endpoint = asio::ip::tcp::endpoint;

std::vector<Endpoint> endpoints_of(const link::ssh::ForwardTarget& target) {
  if (target.host == "localhost")
    return {Endpoint(asio::ip::address_v4::loopback(), target.port),
            Endpoint(asio::ip::address_v6::loopback(), target.port)};
  // Asio alone would take addresses with a scope, too.
  config::IpAddress address;
  if (!address.set_text(target.host) || address.empty())
    throw Error(Code::invalid_argument, "cannot forward to {}: only to localhost and addresses",
                printable(target.host));
  return {Endpoint(asio::ip::make_address(target.host), target.port)};
}

/// 0 or errno. Within the machine the answer is there as soon as connect(2) has returned.
int begin_connecting(int socket, const Endpoint& endpoint) {
  if (::connect(socket, endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0) return 0;
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
  for (const Endpoint& endpoint : endpoints_of(target)) {
    UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
      failure = errno;
      continue;
    }
    failure = begin_connecting(socket.get(), endpoint);
    if (failure == 0) return socket;
  }
  throw Error(Code::unavailable, "port {}: {}", target.port, std::strerror(failure));
}

}  // namespace berth::tether
