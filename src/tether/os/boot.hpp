#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "tether/os/modules.hpp"

namespace berth::tether::os {

/// Everything PID 1 does before it serves: a tmpfs becomes the root (pivot_root(2) refuses to leave the
/// initramfs), the kernel's file systems are mounted in it, modules are loaded from the initramfs and freed.
/// Blocks for the time the kernel needs. Throws when the machine cannot go on. Returns the modules that are
/// left.
Modules boot();

/// Bytes that all containers together may take: what the machine has left after boot(), without a reserve
/// that keeps the tether and the kernel going while they take it all.
std::uint64_t memory_for_containers();
/// Processes and threads that all containers together may have, likewise.
std::uint64_t processes_for_containers();

/// The hierarchy of cgroups v2 after boot().
inline constexpr std::string_view kCgroupHierarchy = "/sys/fs/cgroup";
/// Where the tether keeps what it mounts and makes.
inline constexpr std::string_view kStateFolder = "/run/berth";
/// Of something in it.
std::string state_path(std::string_view name);

/// Kills nothing and unmounts nothing: sync(2) and off.
[[noreturn]] void power_off();
[[noreturn]] void reboot();

/// CLOCK_BOOTTIME.
std::int64_t uptime_nanoseconds();

/// Mixes `bytes` into the kernel's generator as full entropy and makes it reseed before this returns.
void add_entropy(std::string_view bytes);

}  // namespace berth::tether::os
