#pragma once

#include <string>
#include <string_view>

#include "config/executor.hpp"

/// The same configuration as text by two JSON libraries, each used as it is fastest: conversions are compiled
/// for each type, text is made and read in one piece. Decoding checks every type and throws for another one.
namespace berth::bench {

std::string boost_encode(const config::ExecutorConfig& config);
config::ExecutorConfig boost_decode(std::string_view text);

std::string nlohmann_encode(const config::ExecutorConfig& config);
config::ExecutorConfig nlohmann_decode(std::string_view text);

}  // namespace berth::bench
