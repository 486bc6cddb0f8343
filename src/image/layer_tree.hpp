#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "image/unpack.hpp"
#include "tar/tree_writer.hpp"

struct archive_entry;

namespace berth::image {

/// The directory that layers are applied to, one entry at a time. Errors say what is wrong with the entry.
class LayerTree {
 public:
  LayerTree(const std::filesystem::path& directory, const UnpackLimits& limits);

  void begin_layer();
  void apply(archive_entry* entry, const tar::DataSource& data);
  void end_layer();

  const UnpackLimits& limits() const { return limits_; }
  const std::vector<std::string>& warnings() const { return writer_.warnings(); }

 private:
  using Place = tar::ConfinedRoot::Place;

  void count(archive_entry* entry);
  bool apply_whiteout(const std::string& path);
  void remove_lower(int folder, ino_t folder_inode, const std::string& name);
  void remove_lower_content(int directory);
  void clear(const Place& place, bool keep_directory);

  tar::TreeWriter writer_;
  UnpackLimits limits_;
  std::uint64_t free_space_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  /// What this layer made, as (inode of the folder, name): its whiteouts hide only what is below.
  std::set<std::pair<ino_t, std::string>> made_;
};

}  // namespace berth::image
