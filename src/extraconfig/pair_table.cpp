#include "extraconfig/pair_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <numeric>

namespace berth::extraconfig {
namespace {

// Room for a container's configuration.
constexpr std::size_t kFirstSlots = 1024;
constexpr std::size_t kFirstText = 1 << 14;

std::uint64_t word_at(const char* text) {
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof word);
  return word;
}

/// Two words at a time, the last ones perhaps once more: in half the time of std::hash.
std::size_t hash_of(std::string_view key) {
  constexpr std::uint64_t kFirst = 0x9e3779b97f4a7c15;
  constexpr std::uint64_t kSecond = 0xc2b2ae3d27d4eb4f;
  constexpr std::size_t kStep = 2 * sizeof(std::uint64_t);
  if (key.size() < kStep) return std::hash<std::string_view>()(key);
  std::uint64_t a = key.size();
  std::uint64_t b = 0;
  const auto mix = [&](const char* text) {
    a = std::rotl((a ^ word_at(text)) * kFirst, 29);
    b = std::rotl((b ^ word_at(text + kStep / 2)) * kSecond, 31);
  };
  for (std::size_t i = 0; i + kStep < key.size(); i += kStep) mix(key.data() + i);
  mix(key.data() + key.size() - kStep);
  a ^= b;
  return a ^ (a >> 32);
}

}  // namespace

std::uint32_t& PairTable::slot_of(std::size_t hash, std::string_view wanted) {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
    std::uint32_t& slot = slots_[i];
    if (slot == kFree) return slot;
    const Entry& entry = entries_[slot];
    if (entry.hash == hash && key(entry) == wanted) return slot;
  }
}

void PairTable::grow() {
  if (slots_.empty()) text_.reserve(kFirstText);
  slots_.assign(slots_.empty() ? kFirstSlots : 2 * slots_.size(), kFree);
  entries_.reserve(slots_.size() / 2);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    slot_of(entries_[i].hash, key(entries_[i])) = static_cast<std::uint32_t>(i);
  }
}

void PairTable::put(std::string_view key, std::string_view value) {
  if (2 * (entries_.size() + 1) > slots_.size()) grow();
  const std::size_t hash = hash_of(key);
  std::uint32_t& slot = slot_of(hash, key);
  if (slot == kFree) {
    slot = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back({hash, text_.size(), key.size(), 0, 0});
    text_ += key;
  }
  Entry& entry = entries_[slot];
  entry.value_begin = text_.size();
  entry.value_size = value.size();
  text_ += value;
}

std::optional<std::string_view> PairTable::get(std::string_view wanted) {
  // Decoding asks for nearly all in the order in which encoding has put it.
  for (std::size_t i = next_; i < entries_.size() && i < next_ + 2; ++i) {
    if (key(entries_[i]) != wanted) continue;
    next_ = i + 1;
    return value(entries_[i]);
  }
  if (entries_.empty()) return std::nullopt;
  const std::uint32_t found = slot_of(hash_of(wanted), wanted);
  if (found == kFree) return std::nullopt;
  next_ = found + 1;
  return value(entries_[found]);
}

bool PairTable::any_below(std::string_view prefix) {
  if (sorted_.size() != entries_.size()) {
    sorted_.resize(entries_.size());
    std::iota(sorted_.begin(), sorted_.end(), 0u);
    std::sort(sorted_.begin(), sorted_.end(),
              [this](std::uint32_t a, std::uint32_t b) { return key(entries_[a]) < key(entries_[b]); });
  }
  const auto found =
      std::lower_bound(sorted_.begin(), sorted_.end(), prefix,
                       [this](std::uint32_t a, std::string_view b) { return key(entries_[a]) < b; });
  return found != sorted_.end() && key(entries_[*found]).starts_with(prefix);
}

void PairTable::clear() {
  text_.clear();
  entries_.clear();
  sorted_.clear();
  next_ = 0;
  std::fill(slots_.begin(), slots_.end(), kFree);
}

Pairs PairTable::to_pairs() const {
  Pairs pairs;
  for (const Entry& entry : entries_) pairs.emplace(key(entry), value(entry));
  return pairs;
}

}  // namespace berth::extraconfig
