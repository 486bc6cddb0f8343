#pragma once

#include <chrono>
#include <optional>

#include "cli/listing.hpp"
#include "engine/engine.hpp"

namespace berth::cli {

/// Two looks at a container, for what is used in between.
struct UsageSample {
  engine::Usage now;
  std::optional<link::Stats> before;
  std::chrono::nanoseconds elapsed{};  ///< between the two
};

/// Processor time used in between as a share of one processor, in percent.
double cpu_percent(const UsageSample& sample);

/// The columns of `docker stats`, and the machine's own in JSON and templates.
Listing list_usage(const std::vector<UsageSample>& samples, bool whole);

}  // namespace berth::cli
