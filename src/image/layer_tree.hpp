#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "image/confined_root.hpp"
#include "image/unpack.hpp"

struct archive_entry;

namespace berth::image {

/// The next piece of an entry's data and where it goes; false at the end.
using DataSource = std::function<bool(const void*& data, std::size_t& size, std::int64_t& offset)>;

/// The directory that layers are applied to, one entry at a time. Errors say what is wrong with the entry.
class LayerTree {
 public:
  LayerTree(const std::filesystem::path& directory, const UnpackLimits& limits);

  void begin_layer();
  void apply(archive_entry* entry, const DataSource& data);
  void end_layer();

  const UnpackLimits& limits() const { return limits_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  using Place = ConfinedRoot::Place;

  void count(archive_entry* entry);
  bool apply_whiteout(const std::string& path);
  void remove_lower(int folder, ino_t folder_inode, const std::string& name);
  void remove_lower_content(int directory);
  void clear(const Place& place, bool keep_directory);
  void make(archive_entry* entry, const std::string& path, const Place& place, const DataSource& data);
  void make_file(archive_entry* entry, const Place& place, const DataSource& data);
  void make_directory(archive_entry* entry, const std::string& path, const Place& place);
  void make_hard_link(const std::string& target, const Place& place);
  void make_symlink(archive_entry* entry, const Place& place);
  void make_node(archive_entry* entry, const Place& place);
  void apply_root(archive_entry* entry);

  void set_owner_and_mode(archive_entry* entry, int fd);
  void set_attributes(archive_entry* entry, int fd);
  void set_owner(archive_entry* entry, int folder, const std::string& name);
  void warn_once(unsigned kind, std::string text);

  ConfinedRoot root_;
  UnpackLimits limits_;
  std::uint64_t free_space_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  /// What this layer made, as (inode of the folder, name): its whiteouts hide only what is below.
  std::set<std::pair<ino_t, std::string>> made_;
  /// Times of directories, set when nothing more is made in them.
  std::vector<std::pair<std::string, timespec>> directory_times_;
  std::vector<std::string> warnings_;
  unsigned warned_ = 0;
};

}  // namespace berth::image
