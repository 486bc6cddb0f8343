#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "describe/describe.hpp"

/// Described values as JSON. Members are named as the fields are, in snake case ("ExitStatus" is
/// "exit_status"); bytes are base64 or the text their type has, times as they are stored, enumerations by
/// name. A missing target of a pointer is left out, or null in a list or map.
namespace berth::describe {

struct JsonFormat {
  bool indent = false;  ///< two spaces a level, otherwise one line
  /// A document of the same shape whose unknown members are kept in the result; empty for none.
  std::string_view keep_unknown_of = {};
};

enum class UnknownMembers { ignore, refuse };

/// Throws invalid-argument, with the path, for a text that is not UTF-8 or a value without a name.
std::string to_json(const Type& type, const void* value, const JsonFormat& format = {});

/// Sets the members that the document has; null empties a pointer, list or map. Lists are replaced as a
/// whole, maps have the entries that the document has. Throws invalid-argument with the path of what is
/// wrong, as in `sessions["a"].cmd.args[2]`; the value is then part old, part new.
void from_json(std::string_view text, const Type& type, void* value,
               UnknownMembers unknown = UnknownMembers::ignore);

template <typename T>
std::string to_json(const T& value, const JsonFormat& format = {}) {
  return to_json(type_of<T>(), &value, format);
}

/// An error leaves `value` as it was.
template <typename T>
void from_json(std::string_view text, T& value, UnknownMembers unknown = UnknownMembers::ignore) {
  static_assert(std::is_copy_constructible_v<T>,
                "from_json needs a copy to work on: use Box for an owned value");
  T copy = value;
  from_json(text, type_of<T>(), &copy, unknown);
  value = std::move(copy);
}

/// "ExitStatus" is "exit_status", "OOMKilled" is "oom_killed".
std::string json_name(std::string_view name);

}  // namespace berth::describe
