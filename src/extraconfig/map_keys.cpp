#include "extraconfig/map_keys.hpp"

#include <algorithm>
#include <optional>

#include "extraconfig/key.hpp"

namespace berth::extraconfig {
namespace {

constexpr char kEscape = '%';
constexpr std::string_view kEscaped = "|./@~%";

bool is_special(char c) {
  return c == '|' || c == '.' || c == '/' || c == '@' || c == '~' || c == '%';
}

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (const char c : text) {
    if (!is_special(c)) {
      out += c;
    } else {
      ((out += kEscape) += kDigits[static_cast<unsigned char>(c) >> 4]) +=
          kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
}

/// Nothing for a text that is not made of a map key that has a reason to be escaped.
std::optional<std::string> unescape(std::string_view text) {
  if (!text.starts_with(kEscape)) return std::nullopt;
  std::string result;
  bool has_reason = text.size() == 1;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] != kEscape) {
      if (is_special(text[i])) return std::nullopt;
      result += text[i];
      continue;
    }
    const auto matches = [&](char c) {
      std::string escaped;
      append_escaped({&c, 1}, escaped);
      return escaped == text.substr(i, 3);
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
  if (text.empty() || text.front() == kEscape || text.find(kSeparator) != text.npos) return true;
  if (read_write_style && text.find('/') != text.npos) return true;
  if (is_secret(text) || is_non_persistent(text)) return true;
  // "a~" would have its length where "a" has its values.
  return value != MapValue::leaf && body_of(text).ends_with(kValuesMark);
}

/// Places of a path in which '.' and '/' are the same, in an order that puts what is below a path right after
/// it.
int rank(char c) {
  return c == '.' || c == '/' ? 0 : 1 + static_cast<unsigned char>(c);
}
bool is_same(char a, char b) {
  return rank(a) == rank(b);
}
bool is_before(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return rank(x) < rank(y); });
}
bool is_at_or_below(std::string_view path, std::string_view parent) {
  return path.size() >= parent.size() && std::equal(parent.begin(), parent.end(), path.begin(), is_same) &&
         (path.size() == parent.size() || is_same(path[parent.size()], '/'));
}

}  // namespace

void MapKeys::clear() {
  texts_.clear();
  entries_.clear();
}

void MapKeys::add(std::string_view key, const void* mapped) {
  const Range range{texts_.size(), key.size()};
  texts_ += key;
  const bool special = std::any_of(key.begin(), key.end(), is_special);
  entries_.push_back({range, range, mapped, special, false});
}

void MapKeys::settle(MapValue value, bool read_write_style) {
  bool any_special = false;
  for (Entry& entry : entries_) {
    any_special |= entry.is_special;
    if (entry.is_special || entry.key.size == 0)
      entry.is_escaped = is_unsafe(view(entry.key), value, read_write_style);
  }
  if (any_special && value == MapValue::rewritten) mark_clashes();
  for (Entry& entry : entries_) {
    if (entry.is_escaped) escape(entry);
  }
  const auto by_text = [this](const Entry& a, const Entry& b) { return view(a.text) < view(b.text); };
  if (!std::is_sorted(entries_.begin(), entries_.end(), by_text)) {
    std::sort(entries_.begin(), entries_.end(), by_text);
  }
}

/// Keys that, cut at '@', are equal or begin one another would share the keys of their values.
void MapKeys::mark_clashes() {
  const auto path = [this](const Entry& entry) { return body_of(view(entry.key)); };
  std::sort(entries_.begin(), entries_.end(),
            [&](const Entry& a, const Entry& b) { return is_before(path(a), path(b)); });
  Entry* first = nullptr;
  for (Entry& entry : entries_) {
    if (first == nullptr || !is_at_or_below(path(entry), path(*first))) {
      first = &entry;
      continue;
    }
    entry.is_escaped |= entry.is_special;
    first->is_escaped |= first->is_special;
  }
}

void MapKeys::escape(Entry& entry) {
  entry.text.begin = texts_.size();
  texts_ += kEscape;
  // The key is in `texts_` itself, which may move.
  texts_.reserve(texts_.size() + 3 * entry.key.size);
  append_escaped(view(entry.key), texts_);
  entry.text.size = texts_.size() - entry.text.begin;
}

std::string unescape_map_key(std::string_view text) {
  auto plain = unescape(text);
  return plain ? *std::move(plain) : std::string(text);
}

}  // namespace berth::extraconfig
