#include "launcher/disk_snapshot.hpp"

#include <fcntl.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::launcher {

DiskSnapshot::DiskSnapshot(const Paths& paths, std::string_view pod)
    : store_(paths.database(), paths.disks()),
      user_(disk::pod_user(pod)),
      overlay_(store_.begin_overlay(user_)) {}

DiskSnapshot::~DiskSnapshot() {
  if (step_ != Step::begun) return;
  try {
    store_.abandon_overlay(user_);
  } catch (const Error& error) {
    log::warning("take back a snapshot: {}", error.what());
  }
}

Task<> DiskSnapshot::take(hypervisor::Machine& machine) {
  const UniqueFd overlay = open_file(overlay_.file, O_RDWR | O_NOFOLLOW);
  step_ = Step::unknown;
  try {
    co_await machine.snapshot_disk(kScratchDisk, overlay.get());
  } catch (const Error& error) {
    // QEMU has refused; any other failure may have come after it did it.
    const bool was_answered = error.code() != Code::timeout && error.code() != Code::wrong_state;
    if (was_answered) step_ = Step::begun;
    throw;
  }
  step_ = Step::taken;
}

disk::Layer DiskSnapshot::commit(const std::vector<std::string>& holders) {
  if (step_ != Step::taken) throw Error(Code::wrong_state, "the snapshot was not taken");
  layer_ = store_.commit_overlay(user_, holders);
  step_ = Step::committed;
  return layer_;
}

Task<> DiskSnapshot::seal(hypervisor::Machine& machine) {
  try {
    const UniqueFd layer = open_file(layer_.file, O_RDONLY | O_NOFOLLOW);
    co_await machine.seal_disk(kScratchDisk, layer.get());
  } catch (const Error& error) {
    log::warning("seal the layer {}: {}", layer_.id, error.what());
  }
}

}  // namespace berth::launcher
