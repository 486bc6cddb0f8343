#pragma once

#include "config/capabilities.hpp"

namespace berth::tether {

using config::CapabilitySet;

/// Leaves the calling thread no more than `capabilities`, in the bounding set, permitted and effective;
/// inheritable and ambient become empty. The change of user comes after limit_bounding_set and before
/// set_capabilities.
void limit_bounding_set(CapabilitySet capabilities);
void set_capabilities(CapabilitySet capabilities);

}  // namespace berth::tether
