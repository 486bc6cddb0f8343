#pragma once

#include "base/async.hpp"

namespace berth::tether::os {

/// Waits until the kernel has done what it does by itself a second or two after its boot: measure the speed
/// of the processor's clock, so that it is the one that is read, and tell all who want to know that a network
/// card is up. Past `limit` it is left to what comes after.
Task<> wait_kernel_settled(Milliseconds limit);

}  // namespace berth::tether::os
