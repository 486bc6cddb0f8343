#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launcher/paths.hpp"
#include "record/store.hpp"
#include "volume/disk.hpp"

namespace berth::launcher {

struct VolumeDisk {
  volume::Disk disk;
  std::string serial;
};

/// The disks of the pod's volumes, which belong to the caller as long as they are open. A machine that is
/// there for copies only, or is about to end, is waited for. Throws busy, naming the container whose machine
/// has one of them, and corrupt when one is not there.
std::vector<VolumeDisk> take_volumes(record::Store& records, const Paths& paths, const record::Pod& pod,
                                     std::chrono::milliseconds patience);

}  // namespace berth::launcher
