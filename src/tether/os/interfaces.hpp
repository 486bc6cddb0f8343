#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tether/dhcp/message.hpp"
#include "tether/os/rtnetlink.hpp"

namespace berth::tether::os {

/// By its name or by the kernel's number.
bool interface_exists(const std::string& name);
bool interface_exists(unsigned index);

/// A number that the kernel shows below /sys/class/net; 0 for a card that is down, about to go or gone.
std::uint64_t read_counter(const std::filesystem::path& path);

/// Of what is_mac_address() is true for.
dhcp::Mac parse_mac(std::string_view text);
/// Throws unsupported for what is no Ethernet card.
dhcp::Mac mac_of(const Link& link);
/// As rtnetlink and ARP have it; lives as long as `mac`.
std::string_view bytes_of(const dhcp::Mac& mac);

/// Nobody in the machine sees the card any more.
void take_driver_away(const std::string& name);

}  // namespace berth::tether::os
