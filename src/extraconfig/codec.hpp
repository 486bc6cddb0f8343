#pragma once

#include <string_view>
#include <type_traits>
#include <utility>

#include "describe/describe.hpp"
#include "extraconfig/pairs.hpp"

/// Described values to pairs and back. docs/extraconfig.md has the format.
namespace berth::extraconfig {

/// What decoding does where the source says nothing.
enum class Absent {
  /// The source may be a part: the value stays as it is, and so do a map's entries that its index does not
  /// list.
  keep,
  /// The source is everything: the value becomes what a new object has, and a map has what its index lists.
  reset,
};

/// Writes every pair of the value. Throws invalid-argument naming the key for a value that has no text, and
/// what the sink throws.
void encode(const describe::Type& type, const void* value, Sink& sink, std::string_view prefix = {});

/// Sets the value from the source; whether anything was found. Throws corrupt naming the key and the reason;
/// the value is then part old, part new.
bool decode(Source& source, const describe::Type& type, void* value, std::string_view prefix = {},
            Absent absent = Absent::keep);

template <typename T>
void encode(const T& value, Sink& sink, std::string_view prefix = {}) {
  encode(describe::type_of<T>(), &value, sink, prefix);
}

/// Adds to `out`, or overwrites; removes nothing (see update).
template <typename T>
void encode(const T& value, Pairs& out, std::string_view prefix = {}) {
  PairsSink sink(out);
  encode(describe::type_of<T>(), &value, sink, prefix);
}

template <typename T>
Pairs encode(const T& value) {
  Pairs out;
  encode(value, out);
  return out;
}

/// Makes what `stored` has at `prefix` equal to a fresh encode of the value, and returns what was changed and
/// removed for that.
template <typename T>
Difference update(const T& value, Pairs& stored, std::string_view prefix = {}) {
  Pairs fresh;
  encode(value, fresh, prefix);
  Difference difference = diff(below(stored, prefix), fresh);
  extraconfig::apply(difference, stored);
  return difference;
}

/// In place: what `in` does not mention stays or is reset. Damaged input throws corrupt, naming the key and
/// the reason, and leaves `value` as it was.
template <typename T>
bool decode(Source& in, T& value, std::string_view prefix = {}, Absent absent = Absent::keep) {
  static_assert(std::is_copy_constructible_v<T>,
                "decode needs a copy to work on: use describe::Box for an owned value");
  T copy = value;
  const bool found = decode(in, describe::type_of<T>(), &copy, prefix, absent);
  value = std::move(copy);
  return found;
}

/// A new value that has what the source says; throws as decode does.
template <typename T>
T decode_new(Source& in, std::string_view prefix = {}) {
  T value{};
  decode(in, describe::type_of<T>(), &value, prefix, Absent::keep);
  return value;
}

template <typename T>
bool decode(const Pairs& in, T& value, std::string_view prefix = {}, Absent absent = Absent::keep) {
  PairsSource source(in);
  return decode(source, value, prefix, absent);
}

}  // namespace berth::extraconfig
