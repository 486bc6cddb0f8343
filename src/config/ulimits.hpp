#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Limits of single processes (setrlimit(2)) by the names that Docker's --ulimit has for them.
namespace berth::config {

struct Ulimit {
  std::string name;       ///< such as "nofile"
  std::int64_t soft = 0;  ///< -1: unlimited
  std::int64_t hard = 0;
  bool operator==(const Ulimit&) const = default;
};

/// The RLIMIT_ number of a name; nothing when there is none.
std::optional<int> ulimit_resource(std::string_view name);

/// Throws invalid-argument for a name that there is not, and for a soft limit above the hard one.
void check_ulimit(const Ulimit& limit);

/// "NAME=SOFT[:HARD]"; without HARD both are SOFT. Throws invalid-argument.
Ulimit parse_ulimit(std::string_view text);

}  // namespace berth::config
