#include "launcher/pod_disk.hpp"

#include <fcntl.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "disk/store.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::launcher {
namespace {

/// Where containers that an older berth made have their disk.
constexpr const char* kOldDisk = "scratch.img";

}  // namespace

PodDisk open_disk(const Paths& paths, const record::Pod& pod) {
  disk::Store store(paths.database(), paths.disks());
  const std::string user = disk::pod_user(pod.id());
  store.adopt(user, paths.pod(pod.id()) / kOldDisk);
  store.settle(user);
  const disk::Disk stored = store.get(user);
  if (stored.top.read_only)
    throw Error(Code::wrong_state, "container {} has no disk of its own yet: remove it", pod.name());
  PodDisk opened;
  const auto open = [&](const disk::Layer& layer, int access) {
    opened.files.push_back(open_file(layer.file, access | O_NOFOLLOW));
    return opened.files.back().get();
  };
  opened.disk = {open(stored.top, O_RDWR), false, kScratchDisk, stored.top.format};
  for (const disk::Layer& layer : stored.below)
    opened.disk.backing.push_back({open(layer, O_RDONLY), layer.format});
  return opened;
}

}  // namespace berth::launcher
