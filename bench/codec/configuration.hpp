#pragma once

#include "config/executor.hpp"

namespace berth::bench {

/// A machine with everything: 3 sessions, 2 networks, 5 mounts, 20 annotations.
config::ExecutorConfig full_configuration();

}  // namespace berth::bench
