#pragma once

#include <vector>

#include "record/pod.hpp"

namespace berth::engine {

/// Gives every binding without a host port one that is free now.
void choose_free_ports(std::vector<record::PortBinding>& bindings);

/// Throws already-exists naming a port that another process of the host listens on.
void check_ports_free(const std::vector<record::PortBinding>& bindings);

}  // namespace berth::engine
