#pragma once

#include "tether/os/modules.hpp"

namespace berth::tether::os {

/// Ends the machine's TCP connections with others as if a reset had come; those over the loopback and
/// listeners stay. The peers are told, so no interface that leads to them may be up when they are not to be.
/// Throws unsupported when the kernel cannot do it.
void reset_connections(Modules& modules);

}  // namespace berth::tether::os
