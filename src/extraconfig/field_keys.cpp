#include "extraconfig/field_keys.hpp"

#include <algorithm>

namespace berth::extraconfig {
namespace {

namespace scope = describe::scope;
using describe::has;

/// Most keys are shorter, in bytes.
constexpr std::size_t kRoom = 120;

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// Appends the text; in a visible key its separators become the joiner.
void append_path(std::string_view text, bool visible, char joiner, std::string& key) {
  std::size_t at = key.size();
  key += text;
  if (!visible) return;
  const char other = joiner == '.' ? '/' : '.';
  while ((at = key.find(other, at)) != key.npos) key[at++] = joiner;
}

}  // namespace

void FieldKeys::enter(std::string_view parent) {
  parent_ = parent;
  body_ = body_of(parent);
  non_persistent_ = body_.size() < parent.size() && is_non_persistent(parent);
  inherited_.reset();
  for (Style* style : {&hidden_, &read_only_, &read_write_}) style->is_begun = false;
}

Scopes FieldKeys::scopes_of_field(const describe::Field& field) {
  if (field.scopes != Scopes::none) {
    return non_persistent_ ? field.scopes | scope::non_persistent : field.scopes;
  }
  if (!inherited_) inherited_ = inherited_scopes(parent_);
  return *inherited_;
}

void FieldKeys::begin(Style& style) const {
  std::string_view path = body_;
  // A visible parent's own namespace is left out with the separator after it.
  if (guest_visible(parent_)) path.remove_prefix(std::min(path.size(), kNamespace.size() + 1));
  style.key.reserve(kRoom);
  style.key = style.name_space;
  append_path(path, &style != &hidden_, style.joiner, style.key);
  if (!body_.empty()) style.key += style.joiner;
  style.common = style.key.size();
  style.is_begun = true;
}

FieldKeys::Style* FieldKeys::style_for(Scopes scopes) {
  const bool hide = has(scopes, scope::hidden);
  if (has(scopes, Scopes::invalid) || (hide && has(scopes, scope::non_persistent))) return nullptr;
  Style& style = hide ? hidden_ : has(scopes, scope::read_write) ? read_write_ : read_only_;
  if (!style.is_begun) begin(style);
  style.key.resize(style.common);
  return &style;
}

void FieldKeys::finish(Style& style, Scopes scopes) {
  if (has(scopes, Scopes::secret_only)) style.key += "@secret";
  if (has(scopes, scope::non_persistent)) style.key += "@non-persistent";
}

const std::string& FieldKeys::make(Scopes scopes, std::string_view name) {
  Style* style = style_for(scopes);
  if (style == nullptr) return none_;
  append_path(without_blanks(name), style != &hidden_, style->joiner, style->key);
  finish(*style, scopes);
  return style->key;
}

const std::string& FieldKeys::of(const describe::Field& field) {
  const Scopes scopes = scopes_of_field(field);
  if (!field.plain_key) return make(scopes, field.key);
  Style* style = style_for(scopes);
  if (style == nullptr) return none_;
  style->key += field.key;
  finish(*style, scopes);
  return style->key;
}

std::string make_key(Scopes scopes, std::string_view parent, std::string_view name) {
  return FieldKeys(parent).make(scopes, name);
}

}  // namespace berth::extraconfig
