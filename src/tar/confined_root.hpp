#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace berth::tar {

/// A path of an archive without leading and doubled slashes and without "." parts; empty for the root itself.
/// Throws corrupt for a ".." part, a NUL and parts longer than a file system takes.
std::string clean_path(std::string_view path);

/// A directory in which foreign paths are resolved so that no link, absolute path or ".." leads out of it,
/// whoever changes what is below it meanwhile.
class ConfinedRoot {
 public:
  explicit ConfinedRoot(const std::filesystem::path& directory);
  /// `directory` may be O_PATH.
  explicit ConfinedRoot(UniqueFd directory) : root_(std::move(directory)) {}

  /// Where a name is or will be: its folder, resolved below the root, and its last part, which is never
  /// followed.
  struct Place {
    int folder = -1;  ///< O_PATH; the ConfinedRoot's, until the next call of place or forget_folder
    ino_t folder_inode = 0;
    std::string name;
  };
  /// Links in the folder's path are followed inside the root; missing folders are made (0755). `path` is a
  /// clean, non-empty one. Throws corrupt.
  Place place(const std::string& path);

  /// Whatever is at a clean path, O_PATH; `follow` says whether a link in its last part is. Throws as errno
  /// has it: not-found, invalid-argument and so on.
  UniqueFd open(const std::string& path, bool follow) const;

  /// A folder at a clean path, links followed inside the root. Throws corrupt when there is none.
  UniqueFd open_folder(const std::string& path) const;

  /// The directory at a clean path, unless a link or something else is there by now.
  std::optional<UniqueFd> find_directory(const std::string& path) const;

  /// Call after anything was removed or renamed.
  void forget_folder() { cached_ = {}; }

  int fd() const { return root_.get(); }

 private:
  UniqueFd root_;
  UniqueFd cached_;
  std::string cached_path_;
  ino_t cached_inode_ = 0;
};

/// From errno after a system call on a foreign path: corrupt for what a well-formed layer never causes, else
/// as errno_error.
Error path_error(std::string_view doing);

}  // namespace berth::tar
