#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/qemu/block_nodes.hpp"
#include "hypervisor/qemu/host.hpp"

namespace berth::hypervisor::qemu {

/// What QEMU is given as open descriptors, all of the caller. It opens no path of ours itself, so that it may
/// run as a user who cannot reach them.
struct Channels {
  int monitor = -1;
  int console = -1;
  std::array<int, kPortCount> ports{-1, -1, -1};
  int kernel = -1;  ///< this and the next only where boots()
  int initramfs = -1;
  int standard_error = -1;
  int memory = -1;  ///< of MachineSpec::memory_file or FrozenMachine::memory
  int state = -1;   ///< of FrozenMachine::state or MachineSpec::receives
};

/// The command line of a machine that stands still until QMP's `cont`; MachineSpec::kernel and initramfs are
/// not used. `kvm_group` is the group of /dev/kvm. Throws Code::invalid_argument for a spec that cannot be.
ProcessSpec make_process_spec(const MachineSpec& spec, const std::filesystem::path& program,
                              const Channels& channels, const HostFacts& host);

/// The part of the command line that is the machine itself, whatever its name and what is behind its devices.
std::vector<std::string> machine_words(MachineSpec spec);

/// What the guest kernel is told.
std::string kernel_command_line(const MachineSpec& spec, const HostFacts& host);

/// How QEMU's user network names a forward: "tcp:127.0.0.1:8080-:80". Throws invalid-argument, unsupported.
std::string forward_rule(const PortForward& forward);
/// The same without the guest's side, as hostfwd_remove wants it.
std::string forward_key(const PortForward& forward);

/// The user network's name in QMP.
inline constexpr std::string_view kUserNetworkId = "user";

/// The number that Channels::state has in QEMU.
inline constexpr int kStateDescriptor = 3;

/// The PCI bus of what is added later; its last place is that of the memory.
inline constexpr std::string_view kPlugBus = "plug";

/// The name of disk number `index` in QMP.
std::string disk_id(std::size_t index);
/// The files of a disk that the machine is started with, the lowest first.
std::vector<BlockImage> first_images(const Disk& disk, std::size_t index);

}  // namespace berth::hypervisor::qemu
