#include "tether/os/arp.hpp"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/unique_fd.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kIpv4Bytes = 4;

void append_u16(std::string& packet, unsigned value) {
  packet.push_back(static_cast<char>(value >> 8));
  packet.push_back(static_cast<char>(value & 0xff));
}

}  // namespace

std::string make_arp_announcement(std::string_view mac, std::string_view address) {
  std::string packet;
  append_u16(packet, ARPHRD_ETHER);
  append_u16(packet, ETH_P_IP);
  packet.push_back(ETH_ALEN);
  packet.push_back(kIpv4Bytes);
  append_u16(packet, ARPOP_REQUEST);
  packet.append(mac).append(address);
  packet.append(ETH_ALEN, '\0').append(address);
  return packet;
}

void announce_address(unsigned interface, std::string_view mac, std::string_view address) {
  try {
    const UniqueFd socket(check(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "open a packet socket"));
    sockaddr_ll everybody{};
    everybody.sll_family = AF_PACKET;
    everybody.sll_protocol = htons(ETH_P_ARP);
    everybody.sll_ifindex = static_cast<int>(interface);
    everybody.sll_halen = ETH_ALEN;
    std::fill_n(everybody.sll_addr, ETH_ALEN, 0xff);
    const std::string packet = make_arp_announcement(mac, address);
    check(::sendto(socket.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                   reinterpret_cast<const sockaddr*>(&everybody), sizeof everybody),
          "announce a network address");
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

}  // namespace berth::tether::os
