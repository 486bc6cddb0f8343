#pragma once

#include <string>
#include <string_view>

namespace berth::tether::os {

/// An announcement of RFC 5227 (section 2.3): an Ethernet card's own address `mac` (6 bytes) and its IPv4
/// address (4 bytes).
std::string make_arp_announcement(std::string_view mac, std::string_view address);

/// Tells the card's network by which card it has the address, so that nobody goes on sending to another card
/// that had it before. A failure is in the log.
void announce_address(unsigned interface, std::string_view mac, std::string_view address);

}  // namespace berth::tether::os
