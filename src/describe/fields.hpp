#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "describe/type.hpp"

namespace berth::describe {

/// A member with what the stored format says of it.
template <auto Member>
struct Described {
  Field field;

  /// Stops `steps` below this field; 0 leaves the field alone.
  constexpr Described depth(int steps) const {
    Described copy = *this;
    copy.field.depth = steps;
    return copy;
  }
  /// Whether what is behind a pointer is taken too.
  constexpr Described follow(bool on) const {
    Described copy = *this;
    copy.field.follow = on ? Field::Follow::yes : Field::Follow::no;
    return copy;
  }
  constexpr Described skip_encode() const {
    Described copy = *this;
    copy.field.skip_encode = true;
    return copy;
  }
  constexpr Described skip_decode() const {
    Described copy = *this;
    copy.field.skip_decode = true;
    return copy;
  }
  /// A second spelling of the key, which is only read.
  constexpr Described also(std::string_view key) const {
    Described copy = *this;
    copy.field.also = key;
    return copy;
  }
};

namespace detail {

constexpr bool is_plain_key(std::string_view key) {
  return key.find_first_of("./ \t\n\v\f\r") == key.npos;
}

}  // namespace detail

/// A field that takes the scopes of what it is in; its key is its name.
template <auto Member>
constexpr Described<Member> field(std::string_view name) {
  return {Field{.name = name, .key = name, .plain_key = detail::is_plain_key(name)}};
}

/// A field with its own key and scopes.
template <auto Member>
constexpr Described<Member> field(std::string_view name, std::string_view key, Scopes scopes) {
  return {Field{.name = name,
                .key = key,
                .plain_key = detail::is_plain_key(key),
                .scopes = scopes == Scopes::none ? Scopes::invalid : scopes}};
}

template <typename... Members>
struct FieldsOf {
  std::tuple<Members...> members;
};

template <auto... Members>
constexpr auto fields(Described<Members>... members) {
  return FieldsOf<Described<Members>...>{std::tuple(members...)};
}

template <typename Enum>
struct EnumeratorOf {
  std::string_view name;
  Enum value;
};
template <typename Enum>
EnumeratorOf(std::string_view, Enum) -> EnumeratorOf<Enum>;
template <typename Enum>
EnumeratorOf(const char*, Enum) -> EnumeratorOf<Enum>;

template <std::size_t N>
struct EnumeratorsOf {
  bool stored_as_number;
  std::array<Enumerator, N> enumerators;
};

/// Stored by name.
template <typename Enum, typename... More>
constexpr auto enumerators(EnumeratorOf<Enum> first, More... more) {
  return EnumeratorsOf<1 + sizeof...(more)>{false,
                                            {{{first.name, static_cast<std::int64_t>(first.value)},
                                              {more.name, static_cast<std::int64_t>(more.value)}...}}};
}

/// Stored as its number, by name in JSON.
template <typename Enum, typename... More>
constexpr auto numbered_enumerators(EnumeratorOf<Enum> first, More... more) {
  auto result = enumerators(first, more...);
  result.stored_as_number = true;
  return result;
}

template <std::size_t N>
struct AlternativesOf {
  std::array<std::string_view, N> names;
};

/// The names of a variant's alternatives, in their order.
template <typename... Names>
constexpr auto alternatives(Names... names) {
  return AlternativesOf<sizeof...(Names)>{{std::string_view(names)...}};
}

/// What is wrong with a description.
enum class Fault {
  none,
  not_an_aggregate,
  missing_member,
  member_twice,
  name_twice,
  key_twice,
  bad_key,
  bad_scopes,
};

namespace detail {

namespace lookup {
// Hides the namespace of the same name, which would keep argument-dependent lookup from happening.
void describe();
template <typename T>
concept Described = requires {
  describe(static_cast<const T*>(nullptr));
};
template <typename T>
constexpr auto description() {
  return describe(static_cast<const T*>(nullptr));
}
}  // namespace lookup

template <typename T>
inline constexpr bool kIsDescribed = lookup::Described<T>;

template <typename T>
constexpr auto description_of() {
  return lookup::description<T>();
}

template <typename T>
inline constexpr bool kIsArray = false;
template <typename T, std::size_t N>
inline constexpr bool kIsArray<std::array<T, N>> = true;

template <typename Member>
struct MemberType;
template <typename Class, typename T>
struct MemberType<T Class::*> {
  using type = T;
};
template <auto Member>
using member_type = typename MemberType<decltype(Member)>::type;

template <auto Member>
struct Identity {};

template <typename T>
constexpr std::size_t count_of() {
  return std::tuple_size_v<decltype(description_of<T>().members)>;
}

template <typename T, typename Owner>
concept IsPartOf = !std::is_same_v<std::remove_cvref_t<T>, Owner>;

/// Converts to whatever initialises a member.
template <typename Owner>
struct Anything {
  template <IsPartOf<Owner> T>
  operator T&() const&;  // NOLINT: implicit
  template <IsPartOf<Owner> T>
  operator T&&() const&&;  // NOLINT: implicit
};

template <typename T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires {
    T{(static_cast<void>(I), Anything<T>())...};
  };
}

template <typename Identity, typename... Others>
inline constexpr bool kIsAmong = (std::is_same_v<Identity, Others> || ...);

template <typename... Identities>
struct AllDifferent : std::true_type {};
template <typename First, typename... Rest>
struct AllDifferent<First, Rest...>
    : std::bool_constant<!kIsAmong<First, Rest...> && AllDifferent<Rest...>::value> {};

template <typename... Members>
constexpr bool members_differ(const FieldsOf<Members...>&) {
  return AllDifferent<Members...>::value;
}

constexpr bool is_key(std::string_view key) {
  return !key.empty() && key.front() != ' ' && key.back() != ' ' && key.find_first_of("@|~") == key.npos;
}

constexpr bool are_scopes(Scopes scopes) {
  if (has(scopes, Scopes::invalid)) return false;
  const int places = has(scopes, scope::hidden) + has(scopes, scope::read_write) +
                     (has(scopes, scope::read_only) && !has(scopes, Scopes::secret_only));
  return places <= 1 && !(has(scopes, scope::hidden) && has(scopes, scope::non_persistent));
}

constexpr Fault fault_of_fields(std::span<const Field> fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    if (!is_key(field.key) || !is_key(field.name) || (!field.also.empty() && !is_key(field.also))) {
      return Fault::bad_key;
    }
    if (!are_scopes(field.scopes)) return Fault::bad_scopes;
    for (const Field& other : fields.subspan(i + 1)) {
      if (other.name == field.name) return Fault::name_twice;
      if (other.key == field.key || other.key == field.also || other.also == field.key)
        return Fault::key_twice;
    }
  }
  return Fault::none;
}

}  // namespace detail

/// Checks the description of a structure; everything but Fault::none is an error when its type_of is used.
template <typename T>
constexpr Fault fault_of() {
  constexpr auto description = detail::description_of<T>();
  constexpr std::size_t count = detail::count_of<T>();
  if (!std::is_aggregate_v<T>) return Fault::not_an_aggregate;
  if (!detail::members_differ(description)) return Fault::member_twice;
  if (!detail::takes<T>(std::make_index_sequence<count>())) return Fault::not_an_aggregate;
  if (detail::takes<T>(std::make_index_sequence<count + 1>())) return Fault::missing_member;
  return std::apply(
      [](const auto&... member) {
        const std::array<Field, sizeof...(member)> all = {member.field...};
        return detail::fault_of_fields(all);
      },
      description.members);
}

}  // namespace berth::describe
