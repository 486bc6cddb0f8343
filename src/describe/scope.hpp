#pragma once

#include <cstdint>
#include <string_view>

namespace berth::describe {

/// Who may see and change a value, and how long it lives. A set of bits; the numbers are the stored format's.
enum class Scopes : std::uint8_t {
  none = 0,
  invalid = 1,
  hidden = 2,
  read_only = 4,
  read_write = 16,
  non_persistent = 32,
  volatile_only = 64,
  secret_only = 128,
};

constexpr Scopes operator|(Scopes a, Scopes b) {
  return static_cast<Scopes>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr Scopes operator&(Scopes a, Scopes b) {
  return static_cast<Scopes>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
constexpr bool has(Scopes set, Scopes bit) {
  return (set & bit) == bit;
}
constexpr bool has_any(Scopes set, Scopes bits) {
  return (set & bits) != Scopes::none;
}

namespace scope {
/// Not visible in the guest.
inline constexpr Scopes hidden = Scopes::hidden;
/// The guest reads it.
inline constexpr Scopes read_only = Scopes::read_only;
/// The guest reads and writes it.
inline constexpr Scopes read_write = Scopes::read_write;
/// Gone when the machine is powered off; inherited by what is below.
inline constexpr Scopes non_persistent = Scopes::non_persistent;
/// Kept for the format; leaves no trace in a key.
inline constexpr Scopes volatile_value = Scopes::volatile_only;
/// Sealed where it is stored; the guest reads it.
inline constexpr Scopes secret = Scopes::secret_only | Scopes::read_only;
}  // namespace scope

/// The bits of one scope word of the stored format; Scopes::invalid for an unknown word.
constexpr Scopes scope_from_word(std::string_view word) {
  if (word == "hidden") return scope::hidden;
  if (word == "read-only") return scope::read_only;
  if (word == "read-write") return scope::read_write;
  if (word == "volatile") return scope::volatile_value;
  if (word == "non-persistent") return scope::non_persistent;
  if (word == "secret") return scope::secret;
  return Scopes::invalid;
}

}  // namespace berth::describe
