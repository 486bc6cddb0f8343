#pragma once

#include <string>
#include <string_view>

#include "tether/os/container_root.hpp"

namespace berth::tether::os {

/// What programs take for the identity of a machine: files that containers see in the place of the kernel's
/// and of the image's, made from the pod's id. They change under containers that run.
class IdentityFiles {
 public:
  explicit IdentityFiles(ContainerRoot& root) : root_(root) {}

  /// Makes the files say who the pod is; the first time, when the root is assembled, they are made. With
  /// another id later on it is a copy, which has booted just now. Not before the kernel has its entropy.
  void apply(const std::string& pod_id);

 private:
  void bind_machine_id();

  ContainerRoot& root_;
  std::string pod_id_;
  bool made_ = false;
};

/// What containers see as the kernel's boot_id, which is in their own /proc only.
inline constexpr const char* kBootIdFile = "/run/berth/identity/boot_id";
inline constexpr const char* kBootId = "/proc/sys/kernel/random/boot_id";

/// machine-id(5) of a pod: the first 32 digits of its id and a line feed; empty for an id without so many.
std::string machine_id_of(std::string_view pod_id);
/// Whether the content of an image's /etc/machine-id leaves it to the first boot to have one (machine-id(5)).
bool is_unset_machine_id(std::string_view content);

}  // namespace berth::tether::os
