#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "tether/dhcp/message.hpp"

namespace berth::tether::os {

/// By its name or by the kernel's number.
bool interface_exists(const std::string& name);
bool interface_exists(unsigned index);

/// A number that the kernel shows below /sys/class/net; 0 for a card that is about to go or gone.
std::uint64_t read_counter(const std::filesystem::path& path);
/// Bytes; 0 likewise.
std::uint32_t current_mtu(const std::string& name);

/// Of what is_mac_address() is true for.
dhcp::Mac parse_mac(std::string_view text);
/// Throws not-found, unsupported for what is no Ethernet card.
dhcp::Mac mac_of(const std::string& name);
/// As rtnetlink and ARP have it; lives as long as `mac`.
std::string_view bytes_of(const dhcp::Mac& mac);

/// Nobody in the machine sees the card any more.
void take_driver_away(const std::string& name);

}  // namespace berth::tether::os
