#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/kernel.hpp"

namespace berth::hypervisor {

/// What the guest loads at boot, before anything else; dependencies are added from modules.dep. Each module
/// costs boot time, so what only some containers use is not here.
inline constexpr std::array<std::string_view, 9> kBootModules{
    "crc32c_generic",  // what libcrc32c asks for by alias, which modules.dep does not tell
    "virtio_pci",      // the bus all devices are on
    "virtio_console",  // the three ports
    "pvpanic-pci",     // tells the host of a panic
    "erofs",           // image
    "ext4",            // scratch disk
    "overlay",         // root file system: scratch over image
    "virtio_rng",      // entropy from the host
    "virtio_balloon",  // gives freed memory back to the host
};

/// What the guest loads last at boot: drivers of devices that are each machine's own.
inline constexpr std::array<std::string_view, 2> kDeviceModules{
    "virtio_blk",  // disks
    "virtio_net",  // network
};

/// What the guest loads when a network asks for a firewall.
inline constexpr std::array<std::string_view, 3> kFirewallModules{
    "nft_ct",         // connection states
    "nft_chain_nat",  // redirects
    "nft_redir",
};

/// What the guest loads when a volume is on an NFS server.
inline constexpr std::array<std::string_view, 2> kNfsModules{"nfsv3", "nfsv4"};

/// What the guest loads when it is given memory while it runs.
inline constexpr std::array<std::string_view, 1> kMemoryModules{"virtio_mem"};

/// What the guest loads when it mounts a folder of the host.
inline constexpr std::array<std::string_view, 1> kFolderModules{"virtiofs"};

/// What the guest loads at boot where the kernel has it: for machines that are copies of another.
inline constexpr std::array<std::string_view, 1> kCopyModules{
    "tcp_diag",  // ends connections that the other machine goes on with
};

struct InitramfsSpec {
  GuestKernel kernel;
  std::filesystem::path init;  ///< static binary, becomes /init
  std::vector<std::string_view> modules{kBootModules.begin(), kBootModules.end()};
  std::vector<std::string_view> device_modules{kDeviceModules.begin(), kDeviceModules.end()};
  /// kFirewallModules for a guest that may need a firewall. Left out when the kernel lacks one.
  std::vector<std::string_view> firewall_modules{};
  /// kFolderModules for a guest that has folders of the host. Likewise left out.
  std::vector<std::string_view> folder_modules{};
  /// kNfsModules for a guest with such a volume. Likewise left out.
  std::vector<std::string_view> nfs_modules{};
  /// Likewise left out when the kernel lacks them.
  std::vector<std::string_view> memory_modules{kMemoryModules.begin(), kMemoryModules.end()};
  std::vector<std::string_view> copy_modules{kCopyModules.begin(), kCopyModules.end()};
};

/// The archive's bytes, uncompressed newc: /init, /dev/console, /modules/NN-NAME.ko in load order, and
/// /modules/order with one file name a line; those of devices, of the firewall, for folders of the host, for
/// NFS, for more memory and for copies with lists of their own, /modules/devices, /modules/firewall,
/// /modules/folders, /modules/nfs, /modules/memory and /modules/copy. Throws not-found naming what is
/// missing.
std::string make_initramfs(const InitramfsSpec& spec);

/// The archive as a file in `cache`, made when there is none for these inputs (identified by kernel release
/// and each file's path, inode, size and mtime). Callers at the same time make it once. The file has mode
/// 0444.
std::filesystem::path cached_initramfs(const InitramfsSpec& spec, const std::filesystem::path& cache);

/// `names` and all they need, each once, in an order they can be loaded in: paths below kernel.modules.
/// A module that is built into the kernel is left out. Throws not-found.
std::vector<std::filesystem::path> resolve_modules(const GuestKernel& kernel,
                                                   const std::vector<std::string_view>& names);

}  // namespace berth::hypervisor
