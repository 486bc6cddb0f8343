#pragma once

#include <string>

#include "base/async.hpp"

namespace berth::tether::os {

/// Addresses come from the configuration, never from a router that announces itself.
void ignore_router_advertisements(const std::string& interface);

/// They are made of the card's own address, so that one without has none.
void withhold_link_local_address(const std::string& interface);

/// What was withheld; as late as after a boot, when the kernel has looked at the card's carrier.
Task<> give_link_local_address(unsigned interface);

}  // namespace berth::tether::os
