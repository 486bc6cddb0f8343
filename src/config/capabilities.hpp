#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// The capabilities of Linux (capabilities(7)) by their names.
namespace berth::config {

/// Bit n stands for the capability with number n.
using CapabilitySet = std::uint64_t;

/// What Docker gives a container that asks for nothing.
CapabilitySet default_capabilities();

/// The set of names such as "CAP_CHOWN" or "chown". Throws invalid-argument for a name Linux does not have.
CapabilitySet parse_capabilities(const std::vector<std::string>& names);

/// "CAP_CHOWN" and so on, by number.
std::vector<std::string> capability_names(CapabilitySet set);

/// Docker's --cap-add and --cap-drop, either of which may hold ALL: a dropped ALL leaves what is added, an
/// added ALL gives all but what is dropped, else the default is changed. Throws like parse_capabilities.
CapabilitySet adjust_default_capabilities(const std::vector<std::string>& added,
                                          const std::vector<std::string>& dropped);

}  // namespace berth::config
