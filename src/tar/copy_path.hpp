#pragma once

#include <string>
#include <string_view>

#include "tar/confined_root.hpp"

/// Paths as the users of Docker's `cp` give them: what is at their end says what is meant.
namespace berth::tar {

struct CopyPath {
  std::string clean;  ///< from the root, without leading slash; "." and ".." are resolved as text, as in Go's
                      ///< path.Clean; empty for the root
  bool folder = false;   ///< ended with "/" or "/.": it must be a folder, a link to one is followed
  bool content = false;  ///< ended with "/.", or is the root: what is in the folder

  /// What it is called in an archive: its last part, or "." for content.
  std::string name() const;
  /// Without its last part; empty for the root.
  std::string parent() const;
};

/// A relative path is below the root. Throws invalid-argument for a NUL.
CopyPath parse_copy_path(std::string_view path);

/// The clean path of what `path` leads to below the root, links followed also in its last part; text beyond
/// the first part that is missing. Throws invalid-argument for too many links.
std::string resolve_links(const ConfinedRoot& root, const std::string& path);

}  // namespace berth::tar
