#pragma once

#include <filesystem>

#include "base/async.hpp"

namespace berth::tether {

/// After Cgroup::freeze(): returns when every process of the cgroup and below it stands still. Throws
/// timeout.
Task<> wait_frozen(asio::any_io_executor executor, std::filesystem::path cgroup, Milliseconds limit);

}  // namespace berth::tether
