#include "extraconfig/key.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::extraconfig {
namespace {

namespace scope = describe::scope;

constexpr char kAttribute = '@';
constexpr std::string_view kSecretWord = "secret";
constexpr std::string_view kNonPersistentWord = "non-persistent";

bool has_attribute(std::string_view key, std::string_view word) {
  for (auto at = key.find(kAttribute); at != key.npos;) {
    const auto next = key.find(kAttribute, at + 1);
    if (key.substr(at + 1, next == key.npos ? next : next - at - 1) == word) return true;
    at = next;
  }
  return false;
}

Scopes attributes_of(std::string_view key) {
  Scopes scopes = Scopes::none;
  if (key.find(kAttribute) == key.npos) return scopes;
  if (has_attribute(key, kSecretWord)) scopes = scopes | scope::secret;
  if (has_attribute(key, kNonPersistentWord)) scopes = scopes | scope::non_persistent;
  return scopes;
}

}  // namespace

std::string_view body_of(std::string_view key) {
  return key.substr(0, key.find(kAttribute));
}

bool guest_visible(std::string_view key) {
  return key.starts_with(kGuestPrefix);
}

bool guest_writable(std::string_view key) {
  return guest_visible(key) && key.find('/') == key.npos;
}

bool is_secret(std::string_view key) {
  return has_attribute(key, kSecretWord);
}

bool is_confidential(std::string_view key) {
  return is_secret(key) || key == kSealingKeyName;
}

bool is_non_persistent(std::string_view key) {
  return has_attribute(key, kNonPersistentWord);
}

Scopes inherited_scopes(std::string_view key) {
  Scopes scopes = guest_visible(key) ? Scopes::none : scope::hidden;
  scopes = scopes | (key.find('/') != key.npos ? scope::read_only : scope::read_write);
  return scopes | attributes_of(key);
}

Scopes scopes_of(std::string_view key) {
  Scopes scopes = scope::hidden;
  if (guest_visible(key)) scopes = guest_writable(key) ? scope::read_write : scope::read_only;
  if (is_secret(key)) scopes = scopes | Scopes::secret_only;
  if (is_non_persistent(key)) scopes = scopes | scope::non_persistent;
  return scopes;
}

void append_key(std::string_view parent, std::string_view separator, std::string_view value,
                std::string& key) {
  const auto end = std::min(parent.find(kAttribute), parent.size());
  key.assign(parent.substr(0, end));
  key += separator;
  key += value;
  key += parent.substr(end);
}

std::string append_key(std::string_view parent, std::string_view separator, std::string_view value) {
  std::string key;
  append_key(parent, separator, value, key);
  return key;
}

std::string inject_prefix(std::string_view prefix, std::string_view key) {
  if (prefix.empty()) return std::string(key);
  const bool ours = key.starts_with(kNamespace) && key.size() > kNamespace.size();
  if (!ours || (key[kNamespace.size()] != '.' && key[kNamespace.size()] != '/')) {
    throw Error(Code::invalid_argument,
                "key \"{}\": only a key that begins with \"{}\" can be moved below \"{}\"", printable(key),
                kNamespace, printable(prefix));
  }
  const std::string_view rest = key.substr(kNamespace.size());
  const char joiner = rest.front();
  std::string result(kNamespace);
  result += joiner;
  for (const char c : prefix) result += c == '.' || c == '/' ? joiner : c;
  return result += rest;
}

void check_prefix(std::string_view prefix) {
  if (!guest_visible(prefix)) return;
  const std::string_view body = body_of(prefix);
  if (body.starts_with(kNamespace) && body.size() > kNamespace.size() + 1) return;
  throw Error(Code::invalid_argument, "prefix \"{}\": a visible prefix begins with \"{}\"", printable(prefix),
              kNamespace);
}

Spellings spellings_below(std::string_view parent) {
  std::string_view body = body_of(parent);
  if (guest_visible(body)) body.remove_prefix(std::min(body.size(), kNamespace.size() + 1));
  Spellings result{std::string(body), std::string(kNamespace) + '/', std::string(kNamespace) + '.'};
  for (const char c : body) {
    const bool joint = c == '.' || c == '/';
    result.read_only += joint ? '/' : c;
    result.read_write += joint ? '.' : c;
  }
  return result;
}

}  // namespace berth::extraconfig
