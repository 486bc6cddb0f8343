#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "describe/describe.hpp"
#include "describe/text.hpp"

/// What both JSON libraries need: the members of a structure, unrolled at compile time from its description,
/// and the texts of what JSON has no type for.
namespace berth::bench {

template <typename T>
inline constexpr bool kIsBytes = std::is_base_of_v<describe::Bytes, T>;
template <typename T>
inline constexpr bool kIsOptional = false;
template <typename T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <typename T>
inline constexpr bool kIsVector = false;
template <typename T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <typename T>
inline constexpr bool kIsMap = false;
template <typename T>
inline constexpr bool kIsMap<std::map<std::string, T>> = true;

template <typename Object, auto Member, typename Visit>
void visit_member(Object& object, const describe::Described<Member>& member, Visit& visit) {
  visit(member.field.name, object.*Member);
}

/// Calls `visit` with name and member for each.
template <typename Object, typename Visit>
void for_each_member(Object& object, Visit visit) {
  constexpr auto description = describe::detail::description_of<std::remove_const_t<Object>>();
  std::apply([&](const auto&... member) { (visit_member(object, member, visit), ...); }, description.members);
}

template <typename T>
constexpr std::size_t member_count() {
  return describe::detail::count_of<T>();
}

inline std::string base64_of(const describe::Bytes& bytes) {
  std::string text;
  describe::append_base64(bytes.data, text);
  return text;
}

inline std::string text_of(const describe::Time& time) {
  std::string text;
  describe::append_time(time, text);
  return text;
}

}  // namespace berth::bench
