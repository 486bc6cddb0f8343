#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "extraconfig/pairs.hpp"

namespace berth::extraconfig {

/// Pairs in one piece of memory, found by hash: several times as fast as Pairs where a whole configuration is
/// written or read once. Takes what is encoded, and is decoded from.
class PairTable final : public Sink, public Source {
 public:
  /// A value that is there is replaced; views given before are invalid.
  void put(std::string_view key, std::string_view value) override;
  std::optional<std::string_view> get(std::string_view key) override;
  /// The first call after a new key sorts the keys.
  bool any_below(std::string_view prefix) override;

  std::size_t size() const { return entries_.size(); }
  /// Keeps the memory.
  void clear();
  Pairs to_pairs() const;

 private:
  struct Entry {
    std::size_t hash;
    std::size_t key_begin;
    std::size_t key_size;
    std::size_t value_begin;
    std::size_t value_size;
  };
  static constexpr std::uint32_t kFree = UINT32_MAX;

  std::string_view key(const Entry& entry) const { return {text_.data() + entry.key_begin, entry.key_size}; }
  std::string_view value(const Entry& entry) const {
    return {text_.data() + entry.value_begin, entry.value_size};
  }
  /// The slot of the key, or the free one where it belongs; there is always a free one.
  std::uint32_t& slot_of(std::size_t hash, std::string_view key);
  void grow();

  std::string text_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  ///< indices of entries; their number is a power of two
  std::vector<std::uint32_t> sorted_;
  std::size_t next_ = 0;  ///< the entry after the one that was found last
};

}  // namespace berth::extraconfig
