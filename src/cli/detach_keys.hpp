#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace berth::cli {

inline constexpr std::string_view kDefaultDetachKeys = "ctrl-p,ctrl-q";

/// The bytes of a key sequence as Docker spells it: single characters and ctrl-X, where X is a letter or one
/// of @[\]^_, separated by commas. Empty: no sequence detaches. Throws invalid-argument.
std::string parse_detach_keys(std::string_view text);

/// Finds the sequence in what a user types.
class DetachFilter {
 public:
  explicit DetachFilter(std::string keys) : keys_(std::move(keys)) {}

  /// Adds to `passed` what goes to the container; the beginning of a sequence is held back until it is
  /// decided. True once the whole sequence was typed; what was typed after it is dropped.
  bool filter(std::string_view typed, std::string& passed);

 private:
  std::string keys_;
  std::size_t matched_ = 0;
};

}  // namespace berth::cli
