#include "extraconfig/pairs.hpp"

namespace berth::extraconfig {
namespace {

bool passes(std::string_view key, Scopes wanted, Scopes unwanted) {
  const Scopes scopes = scopes_of(key);
  return describe::has_any(scopes, wanted) && !describe::has_any(scopes, unwanted);
}

/// Whether `key` is `path` itself or a part of it.
bool is_within(std::string_view key, std::string_view path) {
  if (!key.starts_with(path)) return false;
  return key.size() == path.size() ||
         std::string_view("|~@./").find(key[path.size()]) != std::string_view::npos;
}

}  // namespace

void PairsSink::put(std::string_view key, std::string_view value) {
  const auto place = pairs_.lower_bound(key);
  if (place != pairs_.end() && place->first == key) {
    place->second.assign(value);
  } else {
    pairs_.emplace_hint(place, key, value);
  }
}

std::optional<std::string_view> PairsSource::get(std::string_view key) {
  const auto found = pairs_.find(key);
  if (found == pairs_.end()) return std::nullopt;
  return found->second;
}

bool PairsSource::any_below(std::string_view prefix) {
  const auto found = pairs_.lower_bound(prefix);
  return found != pairs_.end() && found->first.starts_with(prefix);
}

void FilterSink::put(std::string_view key, std::string_view value) {
  if (passes(key, wanted_, unwanted_)) inner_.put(key, value);
}

std::optional<std::string_view> FilterSource::get(std::string_view key) {
  if (!passes(key, wanted_, unwanted_)) return std::nullopt;
  return inner_.get(key);
}

Pairs filter(const Pairs& pairs, Scopes wanted, Scopes unwanted) {
  Pairs result;
  for (const auto& pair : pairs) {
    if (passes(pair.first, wanted, unwanted)) result.emplace_hint(result.end(), pair);
  }
  return result;
}

Difference diff(const Pairs& before, const Pairs& after) {
  Difference result;
  auto old = before.begin();
  for (const auto& pair : after) {
    for (; old != before.end() && old->first < pair.first; ++old) result.removed.push_back(old->first);
    const bool known = old != before.end() && old->first == pair.first;
    if (!known || old->second != pair.second) result.changed.emplace_hint(result.changed.end(), pair);
    if (known) ++old;
  }
  for (; old != before.end(); ++old) result.removed.push_back(old->first);
  return result;
}

void apply(const Difference& difference, Pairs& pairs) {
  for (const std::string& key : difference.removed) pairs.erase(key);
  for (const auto& [key, value] : difference.changed) pairs.insert_or_assign(key, value);
}

Pairs below(const Pairs& pairs, std::string_view prefix) {
  if (prefix.empty()) return pairs;
  const Spellings spellings = spellings_below(prefix);
  Pairs result;
  for (const std::string* path : {&spellings.hidden, &spellings.read_only, &spellings.read_write}) {
    for (auto it = pairs.lower_bound(*path); it != pairs.end() && it->first.starts_with(*path); ++it) {
      if (is_within(it->first, *path)) result.insert(*it);
    }
  }
  return result;
}

}  // namespace berth::extraconfig
