#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tar/confined_root.hpp"

struct archive_entry;

namespace berth::tar {

/// The next piece of an entry's data and where it goes; false at the end.
using DataSource = std::function<bool(const void*& data, std::size_t& size, std::int64_t& offset)>;

/// Whose the files become.
enum class Owners {
  of_archive,  ///< as the archive says; with a warning nobody's but the caller's where it is not root
  root,        ///< 0:0
  of_process,  ///< whoever makes them
};

/// Which device nodes are made.
enum class Devices {
  harmless,  ///< character devices that give nothing away (null, zero, tty, ...); the others are an error
  any,
  none,  ///< each is an error
};

struct WriteRules {
  Owners owners = Owners::of_archive;
  Devices devices = Devices::harmless;
  /// Set-user-ID and set-group-ID bits and security.capability; without it they are dropped.
  bool privileges = true;
};

/// Status of a name, never followed; nothing when there is none.
std::optional<struct stat> find_status(int folder, const std::string& name);
/// O_RDONLY, never following a link.
UniqueFd open_directory(int folder, const std::string& name);

/// Makes the entries of archives below one root: content, modes, owners, times, security.capability and
/// user.* attributes. Errors say what is wrong with the entry.
class TreeWriter {
 public:
  TreeWriter(ConfinedRoot root, WriteRules rules) : root_(std::move(root)), rules_(rules) {}

  ConfinedRoot& root() { return root_; }

  /// Makes the entry at `place`, which `path` leads to and where nothing is; for a folder there may be one.
  /// `hard_link` is the target of one, as a clean path below the root.
  void make(archive_entry* entry, const std::string& path, const ConfinedRoot::Place& place,
            const std::optional<std::string>& hard_link, const DataSource& data);
  /// Gives the root itself what the entry of a folder says.
  void apply_to_root(archive_entry* entry);
  /// Sets the times of directories: when nothing more is made in them.
  void finish();

  /// What was left out, a line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  using Place = ConfinedRoot::Place;

  void make_file(archive_entry* entry, const Place& place, const DataSource& data);
  void make_directory(archive_entry* entry, const std::string& path, const Place& place);
  void apply_to_directory(archive_entry* entry, const std::string& path, int directory);
  void make_hard_link(const std::string& target, const Place& place);
  void make_symlink(archive_entry* entry, const Place& place);
  void make_node(archive_entry* entry, const Place& place);
  void check_device(archive_entry* entry) const;

  mode_t permissions(archive_entry* entry) const;
  void set_owner_and_mode(archive_entry* entry, int fd);
  void set_attributes(archive_entry* entry, int fd);
  void set_owner(archive_entry* entry, int folder, const std::string& name);
  void warn_once(unsigned kind, std::string text);

  ConfinedRoot root_;
  WriteRules rules_;
  std::vector<std::pair<std::string, timespec>> directory_times_;
  std::vector<std::string> warnings_;
  unsigned warned_ = 0;
};

}  // namespace berth::tar
