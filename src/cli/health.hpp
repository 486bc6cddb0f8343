#pragma once

#include <string>
#include <vector>

#include "engine/paths.hpp"
#include "hypervisor/probe.hpp"

namespace berth::cli {

/// One thing that berth needs or can use on this machine.
struct HealthCheck {
  enum class Result { good, notice, missing };
  std::string name;
  Result result = Result::good;
  std::string detail;  ///< what was found, or what is wrong and what to do
};
std::string_view to_string(HealthCheck::Result result);

/// Looks at everything, for the user who asks; with `probe_again` boots the KVM probe whatever was answered
/// before.
std::vector<HealthCheck> check_health(const engine::Paths& paths, bool probe_again);

/// Whether KVM runs our kernel; the kept answer, or a boot of a few seconds. Throws what keeps the probe
/// itself from being made.
hypervisor::KvmAnswer ask_kvm(const engine::Paths& paths, bool again);

/// A check of a file system: room for images and writable disks.
HealthCheck check_space(const std::filesystem::path& folder, std::uint64_t available_bytes);

}  // namespace berth::cli
