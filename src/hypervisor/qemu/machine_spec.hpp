#pragma once

#include <cstdint>
#include <string>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

/// Throws invalid-argument for a machine that cannot be, unsupported for parts that do not go together,
/// capacity as check_disk.
void check_spec(const MachineSpec& spec);
/// Throw invalid-argument for what no disk or card can be, capacity for a disk of too many layers.
void check_disk(const Disk& disk);
void check_network_card(const NetworkCard& card);

/// Whether it has use for a kernel.
bool boots(const MachineSpec& spec);
/// Whether what serves the machine on the host reaches its memory.
bool has_shared_memory(const MachineSpec& spec);

/// "52:54:00:aa:bb:cc" for any spelling.
std::string lower_mac(const std::string& mac);

/// Whole MiB.
std::uint64_t round_up_memory(std::uint64_t bytes);
/// The memory that the machine starts with, in MiB.
std::uint64_t memory_mib(const MachineSpec& spec);
/// Where the memory is that may be added, in bytes; 0: none.
std::uint64_t reserved_memory(const MachineSpec& spec);

}  // namespace berth::hypervisor::qemu
