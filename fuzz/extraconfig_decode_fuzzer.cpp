#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "config/appliance.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/pair_table.hpp"

/// The input is lines of KEY=VALUE, decoded into the executor's and the appliance's configuration. What is
/// accepted must be stored as something that reads back as the same.

namespace {

using namespace berth;

extraconfig::Pairs read_pairs(std::string_view text) {
  extraconfig::Pairs pairs;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    const auto equals = line.find('=');
    if (equals != line.npos) pairs.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  return pairs;
}

/// A table says the same as a map: the value, or nothing for damage.
template <typename T>
std::optional<T> decode_from_table(const extraconfig::Pairs& pairs) {
  extraconfig::PairTable table;
  for (const auto& [key, value] : pairs) table.put(key, value);
  try {
    return extraconfig::decode_new<T>(table);
  } catch (const Error&) {
    return std::nullopt;
  }
}

template <typename T>
void decode_into_new(const extraconfig::Pairs& pairs) {
  const std::optional<T> from_table = decode_from_table<T>(pairs);
  T value;
  try {
    extraconfig::decode(pairs, value);
  } catch (const Error& error) {
    if (error.code() != Code::corrupt || !(value == T()) || from_table) __builtin_trap();
    return;
  }
  if (!from_table || !(*from_table == value)) __builtin_trap();
  const extraconfig::Pairs stored = extraconfig::encode(value);
  T again;
  extraconfig::decode(stored, again);
  if (extraconfig::encode(again) != stored) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const extraconfig::Pairs pairs = read_pairs({reinterpret_cast<const char*>(data), size});
  decode_into_new<config::ExecutorConfig>(pairs);
  decode_into_new<config::ApplianceConfig>(pairs);
  return 0;
}
