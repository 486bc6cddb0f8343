#include "tether/os/nfs.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "config/nfs.hpp"
#include "tether/os/container_root.hpp"

namespace berth::tether::os {
namespace {

/// What the kernel keeps of a client's name (NFS4_CLIENT_ID_UNIQ_LEN), with its end.
constexpr std::size_t kClientNameLimit = 63;
constexpr const char* kClientName = "/sys/module/nfs/parameters/nfs4_unique_id";
constexpr int kConnectMilliseconds = 5000;
constexpr std::size_t kMostAddresses = 8;
constexpr int kDnsSeconds = 2;
constexpr int kDnsTries = 2;

/// Its plain name is a function's, too.
using ResolverState = struct __res_state;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// No family when the text is no address.
SocketAddress socket_address(const std::string& text, std::uint16_t port) {
  SocketAddress address;
  auto* four = reinterpret_cast<sockaddr_in*>(&address.storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET, text.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    address.size = sizeof *four;
  } else if (::inet_pton(AF_INET6, text.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    address.size = sizeof *six;
  }
  return address;
}

std::string address_text(const SocketAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes =
      address.family() == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr;
  return ::inet_ntop(address.family(), bytes, text.data(), text.size()) != nullptr ? text.data() : "";
}

/// Whether the server takes connections is known sooner, and with a better reason, than by its mount.
/// Gives the address of this machine that it sees.
std::string connect_briefly(const std::string& server, std::uint16_t port) {
  const SocketAddress address = socket_address(server, port);
  if (address.size == 0) throw Error(Code::invalid_argument, "it is no IP address");
  const UniqueFd connection(
      check(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "make a socket"));
  int failure = ::connect(connection.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (failure == EINPROGRESS) {
    pollfd connected{connection.get(), POLLOUT, 0};
    if (::poll(&connected, 1, kConnectMilliseconds) == 0)
      throw Error(Code::timeout, "no answer within {} s", kConnectMilliseconds / 1000);
    socklen_t size = sizeof failure;
    check(::getsockopt(connection.get(), SOL_SOCKET, SO_ERROR, &failure, &size), "ask a socket");
  }
  if (failure != 0) throw Error(Code::unavailable, "{} (TCP port {})", std::strerror(failure), port);
  SocketAddress own;
  own.size = sizeof own.storage;
  check(::getsockname(connection.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size),
        "ask a socket");
  return address_text(own);
}

/// Asks for the addresses of one full name; nothing when there are none.
std::vector<std::string> ask(ResolverState& state, const std::string& name, int type) {
  std::array<unsigned char, 4096> answer{};
  const int size = ::res_nquery(&state, name.c_str(), ns_c_in, type, answer.data(), answer.size());
  ns_msg message;
  std::vector<std::string> found;
  if (size < 0 || size > static_cast<int>(answer.size()) ||
      ::ns_initparse(answer.data(), size, &message) != 0)
    return found;
  for (int i = 0; i < ns_msg_count(message, ns_s_an) && found.size() < kMostAddresses; ++i) {
    ns_rr record;
    if (::ns_parserr(&message, ns_s_an, i, &record) != 0) break;
    const bool is_four = ns_rr_type(record) == ns_t_a && ns_rr_rdlen(record) == sizeof(in_addr);
    const bool is_six = ns_rr_type(record) == ns_t_aaaa && ns_rr_rdlen(record) == sizeof(in6_addr);
    std::array<char, INET6_ADDRSTRLEN> text{};
    if ((is_four || is_six) &&
        ::inet_ntop(is_four ? AF_INET : AF_INET6, ns_rr_rdata(record), text.data(), text.size()) != nullptr)
      found.emplace_back(text.data());
  }
  return found;
}

/// The resolver's library, told whom to ask: this machine has no /etc/resolv.conf of its own.
class Resolver {
 public:
  explicit Resolver(const std::vector<std::string>& nameservers) {
    if (::res_ninit(&state_) != 0) throw Error(Code::internal, "the resolver cannot be made ready");
    state_.retrans = kDnsSeconds;
    state_.retry = kDnsTries;
    state_.nscount = 0;
    for (const std::string& server : nameservers) {
      const SocketAddress address = socket_address(server, NS_DEFAULTPORT);
      if (address.family() != AF_INET || state_.nscount == MAXNS) continue;
      std::memcpy(&state_.nsaddr_list[state_.nscount++], address.get(), sizeof(sockaddr_in));
    }
  }
  ~Resolver() { ::res_nclose(&state_); }
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  std::vector<std::string> addresses(const std::string& name) {
    if (state_.nscount == 0) return {};
    std::vector<std::string> found = ask(state_, name, ns_t_a);
    for (std::string& six : ask(state_, name, ns_t_aaaa)) found.push_back(std::move(six));
    return found;
  }

 private:
  ResolverState state_{};
};

std::string mount_failure(int error, const std::string& path, const std::string& version) {
  switch (error) {
    case ENOENT:
      return fmt::format("it has no {}", path);
    case EACCES:
    case EPERM:
      return fmt::format("it does not let this machine mount {}", path);
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
      return fmt::format("it does not speak NFS {}", version.empty() ? "4" : version);
    case ETIMEDOUT:
      return "it does not answer";
    default:
      return std::strerror(error);
  }
}

/// From one address of the server; tries the versions from the newest on unless one is asked for.
void mount_from(const config::MountSpec& spec, const std::string& place, const config::NfsOptions& options,
                const std::string& address) {
  const std::string own = connect_briefly(address, options.port);
  const MountOptions words = parse_mount_options(options.rest);
  unsigned long flags = words.flags | MS_NODEV;
  if (options.read_only) flags |= MS_RDONLY;
  const bool has_colon = spec.source.host.find(':') != std::string::npos;
  const std::string source = fmt::format("{}{}{}:{}", has_colon ? "[" : "", spec.source.host,
                                         has_colon ? "]" : "", spec.source.path);
  const std::vector<std::string> versions =
      options.version.empty() ? std::vector<std::string>{"4.2", "4.1", "4.0"} : std::vector{options.version};
  int failure = 0;
  for (const std::string& version : versions) {
    const std::string data = nfs_data(address, own, version, options.port, words.data);
    if (::mount(source.c_str(), place.c_str(), "nfs", flags, data.c_str()) == 0) return;
    failure = errno;
    if (failure != EPROTONOSUPPORT && failure != EINVAL) break;
  }
  throw Error(Code::unavailable, "{}", mount_failure(failure, spec.source.path, options.version));
}

}  // namespace

std::string nfs_data(std::string_view address, std::string_view own_address, std::string_view version,
                     std::uint16_t port, std::string_view rest) {
  const std::string_view protocol = address.find(':') == std::string_view::npos ? "tcp" : "tcp6";
  std::string data = fmt::format("vers={},addr={},port={},proto={}", version, address, port, protocol);
  if (version == "3") {
    // There is nothing in the guest that could tell a server's lock manager of a restart.
    data += fmt::format(",mountproto={},nolock", protocol);
  } else {
    data += fmt::format(",clientaddr={}", own_address);
  }
  if (!rest.empty()) data += fmt::format(",{}", rest);
  return data;
}

std::vector<std::string> resolve_server(const std::string& server, const NfsSurroundings& surroundings) {
  if (socket_address(server, 0).size != 0) return {server};
  std::vector<std::string> found;
  if (const auto known = surroundings.hosts.find(server); known != surroundings.hosts.end()) {
    for (const std::string& address : split(known->second, ' ')) {
      if (!address.empty() && found.size() < kMostAddresses) found.push_back(address);
    }
    return found;
  }
  Resolver resolver(surroundings.nameservers);
  found = resolver.addresses(server);
  for (auto domain = surroundings.search.begin(); found.empty() && domain != surroundings.search.end();
       ++domain)
    found = resolver.addresses(fmt::format("{}.{}", server, *domain));
  if (found.empty()) {
    throw Error(Code::not_found, "the NFS server {} has no address that the container's name servers know",
                server);
  }
  return found;
}

void mount_nfs(const config::MountSpec& spec, const std::string& place, const NfsSurroundings& surroundings) {
  const std::string& server = spec.source.host;
  config::check_nfs_server(server);
  config::check_nfs_path(spec.source.path);
  const config::NfsOptions options = config::parse_nfs_options(spec.mode);
  write_kernel_file(kClientName, surroundings.client.substr(0, kClientNameLimit));
  std::vector<std::string> reasons;
  for (const std::string& address : resolve_server(server, surroundings)) {
    try {
      return mount_from(spec, place, options, address);
    } catch (const Error& error) {
      reasons.push_back(address == server ? error.message()
                                          : fmt::format("{}: {}", address, error.message()));
    }
  }
  throw Error(Code::not_found, "the NFS server {}: {}", server, join(reasons, "; "));
}

}  // namespace berth::tether::os
