#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::tether {

/// Bit n stands for the capability with number n (capabilities(7)).
using CapabilitySet = std::uint64_t;

/// What Docker gives a container that asks for nothing.
CapabilitySet default_capabilities();

/// The set of names such as "CAP_CHOWN" or "chown". Throws invalid-argument for a name Linux does not have.
CapabilitySet parse_capabilities(const std::vector<std::string>& names);

/// Leaves the calling thread no more than `capabilities`, in the bounding set, permitted and effective;
/// inheritable and ambient become empty. The change of user comes after limit_bounding_set and before
/// set_capabilities.
void limit_bounding_set(CapabilitySet capabilities);
void set_capabilities(CapabilitySet capabilities);

}  // namespace berth::tether
