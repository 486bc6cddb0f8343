#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace berth {

/// The number of a signal given as "TERM", "SIGTERM", "sigterm", "15", "RTMIN", "RTMIN+3" or "RTMAX-1";
/// nothing when Linux has no such signal.
std::optional<int> signal_number(std::string_view name);

/// "SIGTERM", "SIGRTMIN+3"; "signal 99" when there is no such signal.
std::string signal_name(int number);

}  // namespace berth
