#include "cli/detach_keys.hpp"

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

char parse_key(std::string_view key, std::string_view all) {
  if (key.size() == 1) return key.front();
  constexpr std::string_view kControl = "ctrl-";
  if (key.size() == kControl.size() + 1 && key.starts_with(kControl)) {
    const char letter = key.back();
    if (letter >= 'a' && letter <= 'z') return static_cast<char>(letter - 'a' + 1);
    if (letter >= '@' && letter <= '_') return static_cast<char>(letter - '@');
  }
  throw Error(Code::invalid_argument,
              "detach keys '{}': '{}' is neither a single character nor ctrl- and one of a-z @ [ \\ ] ^ _",
              printable(all), printable(key));
}

}  // namespace

std::string parse_detach_keys(std::string_view text) {
  std::string keys;
  if (text.empty()) return keys;
  for (const std::string& key : split(text, ',')) keys += parse_key(key, text);
  return keys;
}

bool DetachFilter::filter(std::string_view typed, std::string& passed) {
  if (keys_.empty()) {
    passed += typed;
    return false;
  }
  for (const char key : typed) {
    // What was held back may end with the sequence's beginning: drop bytes from its front until the rest
    // fits.
    while (matched_ > 0 && keys_[matched_] != key) {
      std::size_t kept = matched_ - 1;
      while (kept > 0 && keys_.compare(0, kept, keys_, matched_ - kept, kept) != 0) --kept;
      passed += keys_.substr(0, matched_ - kept);
      matched_ = kept;
    }
    if (keys_[matched_] != key) {
      passed += key;
    } else if (++matched_ == keys_.size()) {
      matched_ = 0;
      return true;
    }
  }
  return false;
}

}  // namespace berth::cli
