#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/pod.hpp"

namespace berth::cli {

/// Most ports that one -p may publish.
inline constexpr std::size_t kPublishLimit = 1024;

/// Docker's -p: [[IP:]HOST:]GUEST[/tcp|udp] with ranges FIRST-LAST of equal length; an absent host port is 0,
/// "choose one". Throws invalid-argument.
std::vector<record::PortBinding> parse_publish(std::string_view text);

/// The addresses and ports of `docker ps`: "0.0.0.0:8080->80/tcp", with neighbours joined to ranges.
std::string describe_ports(std::vector<record::PortBinding> ports);

std::string_view to_string(record::Protocol protocol);
/// "0.0.0.0:8080", "[::1]:53".
std::string host_endpoint(const record::PortBinding& port);

}  // namespace berth::cli
