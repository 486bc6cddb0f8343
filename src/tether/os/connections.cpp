#include "tether/os/connections.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "tether/os/netlink.hpp"

namespace berth::tether::os {
namespace {

constexpr std::string_view kDoing = "end TCP connections";
constexpr std::uint32_t kAllButListeners = ~(1u << TCP_LISTEN);

inet_diag_req_v2 request_for(int family) {
  inet_diag_req_v2 request{};
  request.sdiag_family = static_cast<std::uint8_t>(family);
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = kAllButListeners;
  return request;
}

bool is_loopback(const inet_diag_msg& socket) {
  constexpr unsigned kNet = 127;
  if (socket.idiag_family == AF_INET) return ::ntohl(socket.id.idiag_dst[0]) >> 24 == kNet;
  in6_addr peer{};
  std::memcpy(&peer, socket.id.idiag_dst, sizeof peer);
  return IN6_IS_ADDR_LOOPBACK(&peer) || (IN6_IS_ADDR_V4MAPPED(&peer) && peer.s6_addr[12] == kNet);
}

std::vector<inet_diag_msg> list_connections(NetlinkSocket& socket, int family) {
  NetlinkMessage request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request_for(family));
  const std::uint32_t sequence = socket.next_sequence();
  socket.send(request.finish(sequence), kDoing);
  std::vector<inet_diag_msg> found;
  for (const std::string& body : socket.receive_dump(sequence, kDoing)) {
    if (body.size() < sizeof(inet_diag_msg)) continue;
    std::memcpy(&found.emplace_back(), body.data(), sizeof(inet_diag_msg));
  }
  return found;
}

void destroy(NetlinkSocket& socket, const inet_diag_msg& connection) {
  inet_diag_req_v2 which = request_for(connection.idiag_family);
  which.id = connection.id;
  NetlinkMessage request(SOCK_DESTROY, NLM_F_ACK, which);
  const std::uint32_t sequence = socket.next_sequence();
  socket.send(request.finish(sequence), kDoing);
  const int failure = socket.receive_error(sequence, kDoing);
  if (failure == EOPNOTSUPP)
    throw Error(Code::unsupported, "this guest's kernel cannot end connections (INET_DIAG_DESTROY)");
  // It has ended itself meanwhile.
  if (failure != 0 && failure != ENOENT) throw errno_error(kDoing, failure);
}

}  // namespace

void reset_connections(Modules& modules) {
  modules.load(kCopyModules);
  NetlinkSocket socket(NETLINK_SOCK_DIAG);
  for (const int family : {AF_INET, AF_INET6}) {
    for (const inet_diag_msg& connection : list_connections(socket, family)) {
      if (!is_loopback(connection)) destroy(socket, connection);
    }
  }
}

}  // namespace berth::tether::os
