#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tar/stream.hpp"
#include "tar/tree_writer.hpp"

namespace berth::tar {

struct UnpackRules {
  WriteRules write;
  /// Clean path below the root that entries go below; the folder is there or can be made by an entry.
  std::string place;
  /// First component that every entry must have; it is dropped, so that `place` takes its role.
  std::optional<std::string> top;
};

/// Makes the entries of a tar stream (not compressed) below `root`, as Docker's `cp` does: missing folders
/// are made, files and links are replaced, but a folder never by something else nor something else by a
/// folder. Links that were there are followed within the root; entries that lead through a link of the
/// archive itself are refused. Takes the source to its end. Returns what was left out, a line each.
/// Throws corrupt and unsupported for what the archive says, conflict for what is there, else as errno has
/// it; what came before is left as it is made.
std::vector<std::string> unpack(const Source& source, ConfinedRoot root, const UnpackRules& rules);

}  // namespace berth::tar
