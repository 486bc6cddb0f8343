#include "launcher/volumes.hpp"

#include <poll.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "launcher/machine_plan.hpp"
#include "volume/store.hpp"

namespace berth::launcher {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

/// The other pod whose launcher has the volume; nothing when that has ended already, or is not recorded yet.
std::optional<record::Pod> holder_of(record::Store& records, volume::Store& volumes, const record::Pod& pod,
                                     const record::VolumeMount& mount) {
  for (const volume::User& user : volumes.users(mount.id)) {
    if (user.id == pod.id()) continue;
    std::optional<record::Pod> other = records.find(user.id);
    if (other && other->host.launcher.pid != 0) return other;
  }
  return std::nullopt;
}

/// Its machine is there for copies of files only.
bool is_copied(const record::Pod& pod) {
  return pod.host.status == record::Status::created || pod.host.status == record::Status::exited;
}

Error in_use(const record::VolumeMount& mount, const std::optional<record::Pod>& holder) {
  if (!holder) {
    return Error(Code::busy, "the volume {} is in use by a machine that has not ended yet: try again",
                 mount.name);
  }
  if (is_copied(*holder)) {
    return Error(Code::busy,
                 "the volume {} is in use: files of container {} ({}) are being copied; try again",
                 mount.name, holder->name(), short_id(holder->id()));
  }
  return Error(
      Code::busy,
      "the volume {} is in use by container {} ({}): one machine at a time can use a volume, so stop "
      "that one first",
      mount.name, holder->name(), short_id(holder->id()));
}

/// Many machines may use one of an NFS server at a time.
bool is_disk(const record::Pod& pod, const record::VolumeMount& volume) {
  return std::none_of(pod.executor.mounts.begin(), pod.executor.mounts.end(), [&](const auto& mount) {
    return mount.second.path == volume.path && mount.second.source.scheme == kNfsScheme;
  });
}

volume::Disk take(record::Store& records, volume::Store& volumes, const record::Pod& pod,
                  const record::VolumeMount& mount, Deadline deadline) {
  constexpr int kPollMilliseconds = 10;
  const std::filesystem::path image = volumes.image(mount.id);
  if (!std::filesystem::exists(image)) {
    throw Error(Code::corrupt, "the disk of the volume {} is gone: {} is not there", mount.name,
                image.string());
  }
  while (true) {
    if (std::optional<volume::Disk> disk = volume::take_disk(image, mount.read_only)) return std::move(*disk);
    const std::optional<record::Pod> holder = holder_of(records, volumes, pod, mount);
    const bool may_end_soon = !holder || is_copied(*holder);
    if (!may_end_soon || std::chrono::steady_clock::now() >= deadline) throw in_use(mount, holder);
    // flock(2) has no form with a time limit.
    ::poll(nullptr, 0, kPollMilliseconds);
  }
}

}  // namespace

std::vector<VolumeDisk> take_volumes(record::Store& records, const Paths& paths, const record::Pod& pod,
                                     std::chrono::milliseconds patience) {
  std::vector<VolumeDisk> taken;
  if (pod.host.volumes.empty()) return taken;
  const Deadline deadline = std::chrono::steady_clock::now() + patience;
  volume::Store volumes(paths.database(), paths.volumes());
  for (const record::VolumeMount& mount : pod.host.volumes) {
    if (!is_disk(pod, mount)) continue;
    taken.push_back({take(records, volumes, pod, mount, deadline), volume::disk_serial(mount.id)});
  }
  return taken;
}

}  // namespace berth::launcher
