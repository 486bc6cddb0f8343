#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/files.hpp"
#include "engine/engine.hpp"
#include "image/store.hpp"
#include "launcher/client.hpp"
#include "volume/store.hpp"

namespace berth::engine {

inline constexpr std::chrono::milliseconds kLockLimit{10'000};

struct Engine::State {
  explicit State(Paths given) : paths(std::move(given)) {}

  Paths paths;
  SystemClock clock;
  std::unique_ptr<record::Store> records;
  std::unique_ptr<image::Store> images;
  std::unique_ptr<volume::Store> volumes;

  volume::Store& volume_store();
  FileLock lock(const record::Pod& pod) {
    return FileLock::acquire(paths.pod_lock(pod.id()), kLockLimit, "container " + pod.name());
  }
  /// Completes or undoes what a killed process left of the pod; nothing when that removed it.
  std::optional<record::Pod> settle(record::Pod pod);
  record::Pod touch(std::string_view name);
  record::Pod give_volumes(const record::Pod& pod, const std::vector<VolumeRequest>& requests);
  /// Removes the locks of containers that a command was killed too early to record.
  void sweep_locks(const std::vector<record::Pod>& recorded);
  launcher::Client client(const record::Pod& pod) { return {paths, pod.id()}; }
  record::Pod running(std::string_view name);
};

/// Whether a launcher drives a pod of this status.
bool is_active(record::Status status);
Error not_running(const record::Pod& pod);

}  // namespace berth::engine
