#include "extraconfig/key.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::extraconfig {
namespace {

namespace scope = describe::scope;
using describe::has;

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

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\n\v\f\r";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

Scopes attributes_of(std::string_view key) {
  Scopes scopes = Scopes::none;
  if (key.find(kAttribute) == key.npos) return scopes;
  if (has_attribute(key, kSecretWord)) scopes = scopes | scope::secret;
  if (has_attribute(key, kNonPersistentWord)) scopes = scopes | scope::non_persistent;
  return scopes;
}

void make_field_key(const describe::Field& field, std::string_view name, std::string_view parent,
                    std::string& key) {
  Scopes scopes = field.scopes;
  if (scopes == Scopes::none) {
    scopes = inherited_scopes(parent);
  } else if (is_non_persistent(parent)) {
    scopes = scopes | scope::non_persistent;
  }
  make_key(scopes, parent, name, key);
}

constexpr std::string_view kEscaped = "|./@~%";

std::string escape(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string result = "%";
  for (const char c : text) {
    if (kEscaped.find(c) == kEscaped.npos) {
      result += c;
    } else {
      result += '%';
      result += kDigits[static_cast<unsigned char>(c) >> 4];
      result += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return result;
}

/// Nothing for a text that escape does not make of a text that has a reason to be escaped.
std::optional<std::string> unescape(std::string_view text) {
  if (!text.starts_with('%')) return std::nullopt;
  std::string result;
  bool has_reason = text.size() == 1;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (kEscaped.find(text[i]) != kEscaped.npos) return std::nullopt;
      result += text[i];
      continue;
    }
    const auto matches = [&](char c) {
      return escape(std::string_view(&c, 1)).substr(1) == text.substr(i, 3);
    };
    const auto* found = std::find_if(kEscaped.begin(), kEscaped.end(), matches);
    if (found == kEscaped.end()) return std::nullopt;
    result += *found;
    has_reason = true;
    i += 2;
  }
  if (!has_reason) return std::nullopt;
  return result;
}

/// Whether the text alone, whatever the map's other keys are, cannot stand for itself.
bool is_unsafe(std::string_view text, MapValue value, bool read_write_style) {
  if (text.empty() || text.front() == '%' || text.find(kSeparator) != text.npos) return true;
  if (read_write_style && text.find('/') != text.npos) return true;
  if (attributes_of(text) != Scopes::none) return true;
  // "a~" would have its length where "a" has its values.
  return value != MapValue::leaf && text.substr(0, text.find(kAttribute)).ends_with(kValuesMark);
}

/// How the text begins the keys of what is in a structure.
std::string rewritten(std::string_view text) {
  std::string result(text.substr(0, text.find(kAttribute)));
  std::replace(result.begin(), result.end(), '.', '/');
  return result;
}

/// Marks the texts whose keys, once rewritten, could be keys of another entry.
std::vector<bool> find_clashes(const std::vector<std::string>& texts) {
  std::vector<bool> clashes(texts.size(), false);
  std::multimap<std::string, std::size_t> places;
  for (std::size_t i = 0; i < texts.size(); ++i) places.emplace(rewritten(texts[i]), i);
  for (const auto& [path, index] : places) {
    for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
      const auto [first, last] = places.equal_range(path.substr(0, end));
      for (auto parent = first; parent != last; ++parent) clashes[parent->second] = clashes[index] = true;
    }
    if (places.count(path) > 1) clashes[index] = true;
  }
  return clashes;
}

}  // namespace

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

void make_key(Scopes scopes, std::string_view parent, std::string_view name, std::string& key) {
  key.clear();
  const bool hide = has(scopes, scope::hidden);
  if (has(scopes, Scopes::invalid) || (hide && has(scopes, scope::non_persistent))) return;

  const bool visible = guest_visible(parent);
  const char joiner = !hide && has(scopes, scope::read_write) ? '.' : '/';
  parent = parent.substr(0, parent.find(kAttribute));
  // A visible parent's own namespace is left out with the separator after it.
  if (!hide) (key += kNamespace) += joiner;
  const std::size_t begin = key.size();
  if (visible) {
    key += parent.substr(std::min(parent.size(), kNamespace.size() + 1));
  } else {
    key += parent;
  }
  if (!parent.empty()) key += joiner;
  key += without_blanks(name);
  if (!hide) {
    const char other = joiner == '.' ? '/' : '.';
    for (std::size_t i = begin; i < key.size(); ++i) key[i] = key[i] == other ? joiner : key[i];
  }
  if (has(scopes, Scopes::secret_only)) (key += kAttribute) += kSecretWord;
  if (has(scopes, scope::non_persistent)) (key += kAttribute) += kNonPersistentWord;
}

std::string make_key(Scopes scopes, std::string_view parent, std::string_view name) {
  std::string key;
  make_key(scopes, parent, name, key);
  return key;
}

void field_key(const describe::Field& field, std::string_view parent, std::string& key) {
  make_field_key(field, field.key, parent, key);
}

void second_field_key(const describe::Field& field, std::string_view parent, std::string& key) {
  make_field_key(field, field.also, parent, key);
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
  const std::string_view body = prefix.substr(0, prefix.find(kAttribute));
  if (body.starts_with(kNamespace) && body.size() > kNamespace.size() + 1) return;
  throw Error(Code::invalid_argument, "prefix \"{}\": a visible prefix begins with \"{}\"", printable(prefix),
              kNamespace);
}

Spellings spellings_below(std::string_view parent) {
  std::string_view body = parent.substr(0, parent.find(kAttribute));
  if (guest_visible(body)) body.remove_prefix(std::min(body.size(), kNamespace.size() + 1));
  Spellings result{std::string(body), std::string(kNamespace) + '/', std::string(kNamespace) + '.'};
  for (const char c : body) {
    const bool joint = c == '.' || c == '/';
    result.read_only += joint ? '/' : c;
    result.read_write += joint ? '.' : c;
  }
  return result;
}

std::vector<std::string> escape_map_keys(std::vector<std::string> texts, MapValue value,
                                         bool read_write_style) {
  const auto is_special = [](std::string_view text) { return text.find_first_of(kEscaped) != text.npos; };
  std::vector<bool> clashes(texts.size(), false);
  if (value == MapValue::rewritten && std::any_of(texts.begin(), texts.end(), is_special)) {
    clashes = find_clashes(texts);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const bool unsafe = is_unsafe(texts[i], value, read_write_style);
    if (unsafe || (clashes[i] && is_special(texts[i]))) texts[i] = escape(texts[i]);
  }
  return texts;
}

std::string unescape_map_key(std::string_view text) {
  auto plain = unescape(text);
  return plain ? *std::move(plain) : std::string(text);
}

}  // namespace berth::extraconfig
