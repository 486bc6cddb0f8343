#include "launcher/pod_disk.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "disk/store.hpp"
#include "launcher/machine_plan.hpp"
#include "volume/disk.hpp"

namespace berth::launcher {
namespace {

/// Where containers that an older berth made have their disk.
constexpr const char* kOldDisk = "scratch.img";
constexpr const char* kLooking = "look at a disk";

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

bool replace_unused_disk(const Paths& paths, const record::Pod& pod, int with) {
  disk::Store store(paths.database(), paths.disks());
  const std::string user = disk::pod_user(pod.id());
  store.settle(user);
  const disk::Disk stored = store.get(user);
  if (!stored.below.empty() || stored.top.read_only || stored.top.format != hypervisor::DiskFormat::raw)
    return false;
  const UniqueFd now = open_file(stored.top.file, O_RDONLY | O_NOFOLLOW);
  if (!volume::is_unused(now.get()) || file_bytes(now.get(), kLooking) != file_bytes(with, kLooking))
    return false;
  store.replace(user, [with](const std::filesystem::path& file) {
    copy_sparse(fmt::format("/proc/self/fd/{}", with), file);
  });
  return true;
}

}  // namespace berth::launcher
