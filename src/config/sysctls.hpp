#pragma once

#include <string_view>

namespace berth::config {

/// Throws invalid-argument unless Docker would set this kernel setting (sysctl(8), parts joined by dots) for
/// a container alone: net.*, fs.mqueue.* and those of System V IPC.
void check_sysctl(std::string_view name);

}  // namespace berth::config
