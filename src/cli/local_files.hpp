#pragma once

#include <string>
#include <vector>

#include "cli/copy_rules.hpp"
#include "tar/stream.hpp"
#include "tar/unpack.hpp"

/// This end of a copy: the caller's own files.
namespace berth::cli {

/// The absolute form of a local path, what is at its end kept; throws invalid-argument for an empty one.
std::string absolute_local_path(const std::string& path);

/// What a local path names, to be packed.
class LocalSource {
 public:
  /// `follow`: a link is what it leads to, under its own name. Throws not-found.
  LocalSource(const std::string& path, bool follow);

  const CopySource& source() const { return source_; }
  /// Under that name. Returns what was left out, a line each.
  std::vector<std::string> pack(const std::string& name, const tar::Sink& sink) const;

 private:
  CopySource source_;
  UniqueFd folder_;
  std::string entry_;  ///< in it; "." for itself
};

/// What is at a local path; a link is followed. Throws invalid-argument for what is neither a file nor a
/// folder.
CopyDestination look_at_destination(const std::string& path);

/// The folder of a plan. Throws not-found.
tar::ConfinedRoot open_local_folder(const std::string& path);

}  // namespace berth::cli
