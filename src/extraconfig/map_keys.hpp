#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace berth::extraconfig {

/// What follows the text of a map key within the keys of the map's values; decides which texts are safe.
enum class MapValue {
  leaf,       ///< nothing
  appended,   ///< more '|' parts
  rewritten,  ///< parts of structures: '.' and '/' are exchanged, and the text is cut at '@'
};

/// The keys of one map, and the texts under which they appear in keys and in the index. A map key stands for
/// itself unless that would lose something: it is torn at '|', empty, begins with '%', changes the scopes of
/// its value, or meets the keys of another entry. It is then '%' followed by the text with each of
/// | . / @ ~ % as %XX. Memory is used again.
class MapKeys {
 public:
  void clear();
  /// `mapped` is the entry's value.
  void add(std::string_view key, const void* mapped);
  /// Decides which keys are escaped, and sorts the entries by their texts.
  void settle(MapValue value, bool read_write_style);

  std::size_t size() const { return entries_.size(); }
  /// As it was added.
  std::string_view key(std::size_t index) const { return view(entries_[index].key); }
  /// As it appears.
  std::string_view text(std::size_t index) const { return view(entries_[index].text); }
  const void* mapped(std::size_t index) const { return entries_[index].mapped; }

 private:
  struct Range {
    std::size_t begin;
    std::size_t size;
  };
  struct Entry {
    Range key;
    Range text;
    const void* mapped;
    bool is_special;
    bool is_escaped;
  };

  std::string_view view(Range range) const {
    return std::string_view(texts_).substr(range.begin, range.size);
  }
  void mark_clashes();
  void escape(Entry& entry);

  std::string texts_;
  std::vector<Entry> entries_;
};

/// The map key of a text; one that MapKeys cannot have made stands for itself.
std::string unescape_map_key(std::string_view text);

}  // namespace berth::extraconfig
