#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "engine/paths.hpp"

namespace berth::cli {

/// One thing that berth needs or can use on this machine.
struct HealthCheck {
  enum class Result { good, notice, missing };
  std::string name;
  Result result = Result::good;
  std::string detail;  ///< what was found, or what is wrong and what to do
};
std::string_view to_string(HealthCheck::Result result);

/// Looks at everything. Asks the KVM probe when all that a machine needs is there, which may boot one.
std::vector<HealthCheck> check_health(const engine::Paths& paths);

/// A check of a file system: room for images and writable disks.
HealthCheck check_space(const std::filesystem::path& folder, std::uint64_t available_bytes);

}  // namespace berth::cli
