#pragma once

#include <string>

#include "base/unique_fd.hpp"

namespace berth::tether::os {

/// The kernel modules of the initramfs: /modules with lists of file names, in an order they can be loaded in.
class Modules {
 public:
  Modules() = default;
  /// The open folder; it may be hidden by what is mounted since.
  explicit Modules(UniqueFd folder) : folder_(std::move(folder)) {}

  /// Loads those of the list "order" and frees their files. What fails is in the log: it shows up as a
  /// missing device, with a message for the user.
  void load_boot();
  /// Loads those of another list, once. Throws unsupported when there is none, and what loading throws.
  void load(const std::string& list);

 private:
  UniqueFd folder_;
};

/// What disks and network cards need.
inline constexpr const char* kDeviceModules = "devices";
/// What a firewall needs.
inline constexpr const char* kFirewallModules = "firewall";
/// What folders of the host need.
inline constexpr const char* kFolderModules = "folders";
/// What a mount from an NFS server needs.
inline constexpr const char* kNfsModules = "nfs";
/// What memory needs that comes while the machine runs.
inline constexpr const char* kMemoryModules = "memory";
/// What ends the connections of a machine that is the copy of another.
inline constexpr const char* kCopyModules = "copy";

}  // namespace berth::tether::os
