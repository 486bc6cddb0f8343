#pragma once

#include <string>

namespace berth::tether::os {

/// Addresses come from the configuration, never from a router that announces itself.
void ignore_router_advertisements(const std::string& interface);

/// Without it the interface has no link-local address either.
void use_ipv6(const std::string& interface, bool used);

}  // namespace berth::tether::os
