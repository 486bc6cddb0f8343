#pragma once

#include <string>
#include <string_view>

#include "describe/type.hpp"

/// Keys. The spelling of a key says who may see and change its value:
/// without "guestinfo." in front the guest cannot see it ("hidden"), with it and a '/' anywhere the guest can
/// read it, with it and no '/' the guest can read and write it. Words after '@' are attributes of the value.
namespace berth::extraconfig {

using describe::Scopes;

inline constexpr std::string_view kGuestPrefix = "guestinfo.";
/// In front of every visible key of ours; the separator of the key's style follows.
inline constexpr std::string_view kNamespace = "guestinfo.vice.";
/// Where the sealing key is stored.
inline constexpr std::string_view kSealingKeyName = "guestinfo.ovfEnv";
inline constexpr char kSeparator = '|';
inline constexpr char kValuesMark = '~';

/// The key without its attributes.
std::string_view body_of(std::string_view key);
/// Whether the guest may see the key.
bool guest_visible(std::string_view key);
/// Whether the guest may change it.
bool guest_writable(std::string_view key);
/// Whether its value is to be sealed.
bool is_secret(std::string_view key);
/// Whether its value must not be shown: a secret, or the sealing key itself.
bool is_confidential(std::string_view key);
bool is_non_persistent(std::string_view key);

/// The scopes a field without its own takes from the key it is in: hidden keys also have one of read_only and
/// read_write, as the format's inheritance has it.
Scopes inherited_scopes(std::string_view key);

/// What the key is in fact: exactly one of hidden, read_only, read_write, and its attributes.
Scopes scopes_of(std::string_view key);

/// Adds `separator` (may be empty) and `value` in front of the attributes of `parent`.
void append_key(std::string_view parent, std::string_view separator, std::string_view value,
                std::string& key);
std::string append_key(std::string_view parent, std::string_view separator, std::string_view value);

/// Puts `prefix` between the namespace and the rest of a visible key, so that a part of a configuration is
/// read as if it were the whole. Throws invalid-argument for a key that is not in the namespace.
std::string inject_prefix(std::string_view prefix, std::string_view key);

/// Throws invalid-argument for a visible prefix outside the namespace: it would be overwritten.
void check_prefix(std::string_view prefix);

/// The three spellings that begin every key below `parent`: hidden, read-only, read-write.
struct Spellings {
  std::string hidden;
  std::string read_only;
  std::string read_write;
};
Spellings spellings_below(std::string_view parent);

}  // namespace berth::extraconfig
