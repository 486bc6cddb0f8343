#include "extraconfig/options.hpp"

#include <algorithm>

namespace berth::extraconfig {
namespace {

constexpr std::string_view kNil = "<nil>";

}  // namespace

Pairs pairs_from_options(const Options& options) {
  Pairs pairs;
  for (const auto& [key, value] : options) pairs.insert_or_assign(key, value == kNil ? "" : value);
  return pairs;
}

Options options_from_pairs(const Pairs& pairs, bool escape) {
  Options options(pairs.begin(), pairs.end());
  if (!escape) return options;
  for (auto& option : options) {
    if (option.second.empty()) option.second = kNil;
  }
  return options;
}

Options option_updates(const Options& existing, const Pairs& wanted, bool remove) {
  const Difference difference = diff(pairs_from_options(existing), wanted);
  Options updates = options_from_pairs(difference.changed);
  if (remove) {
    for (const std::string& key : difference.removed) updates.emplace_back(key, "");
    std::sort(updates.begin(), updates.end());
  }
  return updates;
}

}  // namespace berth::extraconfig
