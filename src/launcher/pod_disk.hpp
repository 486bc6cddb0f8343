#pragma once

#include <vector>

#include "base/unique_fd.hpp"
#include "hypervisor/hypervisor.hpp"
#include "launcher/paths.hpp"
#include "record/pod.hpp"

namespace berth::launcher {

/// The disk that a container writes to, as its machine is given it.
struct PodDisk {
  hypervisor::Disk disk;
  std::vector<UniqueFd> files;  ///< what `disk` names
};

/// Puts right what a machine that ended in the middle of a fork has left, and opens the files. The caller
/// holds the pod's lock and no machine has the disk. Throws not-found for a pod whose disk is gone.
PodDisk open_disk(const Paths& paths, const record::Pod& pod);

/// Puts a copy of that raw disk in the place of the pod's, if no machine has used that yet. Whether it did.
/// The caller holds the pod's lock.
bool replace_unused_disk(const Paths& paths, const record::Pod& pod, int with);

}  // namespace berth::launcher
