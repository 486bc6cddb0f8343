#pragma once

#include <string>

#include "base/unique_fd.hpp"
#include "link/archive.hpp"
#include "tar/confined_root.hpp"

namespace berth::tether {

/// Whose files a copy is about.
struct CopyPlace {
  UniqueFd container;      ///< of one that runs: a pidfd of its first process; else
  std::string root;        ///< where its root is assembled
  bool read_only = false;  ///< of `root`: the container is to find it read-only
};

/// Does what the order says below `root`, blocking: a tar stream comes from `input` or goes to `output`.
/// Returns what was left out, a line each. Errors name the path as the user gave it.
std::string copy_files(const link::archive::Order& order, tar::ConfinedRoot root, int input, int output);

struct CopyDescriptors {
  int data = -1;    ///< read for a write, written otherwise
  int answer = -1;  ///< gets "0\n" and what was left out, or "1\n", a code, a line feed and a message
};

/// What a fresh child of the tether does: leaves everything but its descriptors and the capabilities it
/// needs, finds the container's root, works, and ends.
[[noreturn]] void run_copy_child(const link::archive::Order& order, const CopyPlace& place,
                                 const CopyDescriptors& descriptors);

}  // namespace berth::tether
