#pragma once

#include <optional>
#include <string_view>

namespace berth::tether::os {

/// The longest that the kernel makes (UEVENT_BUFFER_SIZE), with its first line.
inline constexpr std::size_t kUeventLimit = 8192;

/// What the kernel says of a device that comes, goes or changes; views into the datagram.
struct Uevent {
  std::string_view action;     ///< add, remove, change, online, offline, ...
  std::string_view path;       ///< below /sys, such as "/devices/system/cpu/cpu1"
  std::string_view subsystem;  ///< cpu, block, net, virtio, ...
  std::string_view modalias;
};

/// Reads a datagram of NETLINK_KOBJECT_UEVENT: "ACTION@PATH" and KEY=VALUE, each ended by a zero byte.
/// Nothing for what is not of that form.
std::optional<Uevent> parse_uevent(std::string_view datagram);

}  // namespace berth::tether::os
