#include "cli/pairs_text.hpp"

#include <map>

#include "base/error.hpp"
#include "describe/json.hpp"
#include "describe/text.hpp"

namespace berth::cli {
namespace {

using extraconfig::Pairs;

constexpr std::string_view kBase64 = "base64:";

struct PairValue : describe::Bytes {
  std::string text() const {
    if (describe::is_utf8(data) && !data.starts_with(kBase64)) return data;
    std::string encoded(kBase64);
    describe::append_base64(data, encoded);
    return encoded;
  }
  bool set_text(std::string_view text) {
    if (!text.starts_with(kBase64)) {
      data.assign(text);
      return true;
    }
    auto decoded = describe::read_base64(text.substr(kBase64.size()));
    if (!decoded) return false;
    data = *std::move(decoded);
    return true;
  }
};

using PairTexts = std::map<std::string, PairValue>;

std::string in_quotes(std::string_view text) {
  return describe::to_json(PairValue{{std::string(text)}});
}

std::string line_of(char sign, const Pairs::value_type& pair, bool show_secrets) {
  const bool hidden = !show_secrets && extraconfig::is_confidential(pair.first);
  return fmt::format("{} {}: {}\n", sign, in_quotes(pair.first),
                     hidden ? "<secret>" : in_quotes(pair.second));
}

}  // namespace

std::string pairs_to_text(const Pairs& pairs) {
  PairTexts texts;
  for (const auto& [key, value] : pairs) texts.emplace_hint(texts.end(), key, PairValue{{value}});
  return describe::to_json(texts, {.indent = true});
}

Pairs pairs_from_text(std::string_view text) {
  PairTexts texts;
  describe::from_json(text, texts);
  Pairs pairs;
  for (auto& [key, value] : texts) pairs.emplace_hint(pairs.end(), key, std::move(value.data));
  return pairs;
}

std::string difference_text(const Pairs& before, const Pairs& after, bool show_secrets) {
  std::string text;
  auto old = before.begin();
  const auto remove_up_to = [&](const std::string* key) {
    for (; old != before.end() && (key == nullptr || old->first < *key); ++old) {
      text += line_of('-', *old, show_secrets);
    }
  };
  for (const auto& pair : after) {
    remove_up_to(&pair.first);
    const bool known = old != before.end() && old->first == pair.first;
    if (known && old->second == pair.second) {
      ++old;
      continue;
    }
    if (known) text += line_of('-', *old++, show_secrets);
    text += line_of('+', pair, show_secrets);
  }
  remove_up_to(nullptr);
  return text;
}

}  // namespace berth::cli
