#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "tether/dhcp/client.hpp"

namespace berth::tether::dhcp {
namespace {

/// Larger than any datagram of a server that heeds what we say.
constexpr std::size_t kLargestPacket = 4096;

/// An IPv4 packet of UDP to the client port that is no fragment: nothing else of a busy network wakes us.
constexpr sock_filter kFilter[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 6),
    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 4, 0),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kClientPort, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, kLargestPacket),
    BPF_STMT(BPF_RET | BPF_K, 0),
};

/// Sees packets whoever they are for, before there is an address.
UniqueFd open_packet_socket(unsigned interface) {
  UniqueFd socket(
      check(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "open a packet socket"));
  const sock_fprog program{std::size(kFilter), const_cast<sock_filter*>(kFilter)};
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), "filter packets");
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_IP);
  address.sll_ifindex = static_cast<int>(interface);
  check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind to a card");
  return socket;
}

UniqueFd open_udp_socket(unsigned interface, std::uint32_t own) {
  UniqueFd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "open a socket"));
  const int yes = 1;
  const int index = static_cast<int>(interface);
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "SO_REUSEADDR");
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes), "SO_BROADCAST");
  check(::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof index), "bind to a card");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kClientPort);
  address.sin_addr.s_addr = htonl(own);
  check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
        "bind to the DHCP client's port");
  return socket;
}

class Sockets final : public Transport {
 public:
  Sockets(asio::any_io_executor executor, unsigned interface)
      : executor_(std::move(executor)), interface_(interface) {}

  void send(const Exchange::Packet& packet) override {
    try {
      open(packet.from);
      if (packet.from == 0) {
        send_raw(packet);
      } else {
        send_udp(packet);
      }
    } catch (const Error& error) {
      log::warning("DHCP: {}", error.what());
    }
  }

  Task<std::string> receive(std::uint32_t address) override {
    if (closed_) throw Error(Code::unavailable, "DHCP: cancelled");
    open(address);
    const std::shared_ptr<Stream> stream = stream_;
    std::array<char, kLargestPacket> buffer;
    while (true) {
      co_await stream->wait_readable();
      const ssize_t size = ::recv(stream->fd(), buffer.data(), buffer.size(), 0);
      if (size < 0) {
        // What the network says about an earlier packet of ours is read with the next; it may come again.
        if (errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED || errno == EHOSTUNREACH) continue;
        throw errno_error("receive from a DHCP server");
      }
      const std::string_view bytes(buffer.data(), static_cast<std::size_t>(size));
      const auto payload = address == 0 ? payload_of(bytes) : bytes;
      if (payload && !payload->empty()) co_return std::string(*payload);
    }
  }

  void rest() override { stream_.reset(); }

  void close() override {
    closed_ = true;
    if (stream_) stream_->close();
    stream_.reset();
  }

 private:
  void open(std::uint32_t address) {
    if (stream_ && address_ == address) return;
    rest();
    stream_ = std::make_shared<Stream>(
        executor_, address == 0 ? open_packet_socket(interface_) : open_udp_socket(interface_, address));
    address_ = address;
  }

  void send_raw(const Exchange::Packet& packet) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(ETH_P_IP);
    to.sll_ifindex = static_cast<int>(interface_);
    to.sll_halen = ETH_ALEN;
    std::fill_n(to.sll_addr, ETH_ALEN, 0xff);
    const std::string bytes = make_packet(packet.payload, packet.from, packet.to);
    check(::sendto(stream_->fd(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                   sizeof to),
          "send to DHCP servers");
  }

  void send_udp(const Exchange::Packet& packet) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(kServerPort);
    to.sin_addr.s_addr = htonl(packet.to);
    check(::sendto(stream_->fd(), packet.payload.data(), packet.payload.size(), 0,
                   reinterpret_cast<const sockaddr*>(&to), sizeof to),
          "send to a DHCP server");
  }

  asio::any_io_executor executor_;
  const unsigned interface_;
  std::shared_ptr<Stream> stream_;
  std::uint32_t address_ = 0;  ///< that stream_ is bound to
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Transport> open_transport(const asio::any_io_executor& executor, unsigned interface) {
  return std::make_unique<Sockets>(executor, interface);
}

}  // namespace berth::tether::dhcp
