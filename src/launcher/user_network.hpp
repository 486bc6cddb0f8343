#pragma once

#include <string>

#include "config/executor.hpp"

namespace berth::launcher {

/// The key of the network that QEMU makes.
inline constexpr const char* kUserNetwork = "user";

/// A machine's end of it, on the card with this address.
config::NetworkEndpoint user_network(const std::string& mac);

}  // namespace berth::launcher
