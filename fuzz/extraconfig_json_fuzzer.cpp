#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "config/appliance.hpp"
#include "describe/json.hpp"

/// A document that is accepted is written as one that is accepted and says the same.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  config::ApplianceConfig value;
  try {
    describe::from_json(text, value);
  } catch (const Error& error) {
    if (error.code() != Code::invalid_argument) __builtin_trap();
    return 0;
  }
  const std::string written = describe::to_json(value, {.indent = true, .keep_unknown_of = text});
  config::ApplianceConfig again;
  describe::from_json(written, again);
  if (describe::to_json(again) != describe::to_json(value)) __builtin_trap();
  return 0;
}
