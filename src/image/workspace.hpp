#pragma once

#include <filesystem>
#include <string>

#include "base/files.hpp"
#include "base/unique_fd.hpp"

namespace berth::image {

/// A temporary folder that is locked while its owner lives, so that what a killed process left can be told
/// apart.
class Workspace {
 public:
  /// Makes PARENT/PREFIX-XXXXXX and removes those with the same prefix whose owner is dead. The caller holds
  /// the lock that all makers of workspaces in `parent` share.
  Workspace(const std::filesystem::path& parent, const std::string& prefix);

  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TempDir folder_;
  UniqueFd lock_;
};

}  // namespace berth::image
