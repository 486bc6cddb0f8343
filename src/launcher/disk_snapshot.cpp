#include "launcher/disk_snapshot.hpp"

#include <fcntl.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "hypervisor/qcow2.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::launcher {

DiskSnapshot::DiskSnapshot(const Paths& paths, std::string_view pod)
    : store_(paths.database(), paths.disks()),
      user_(disk::pod_user(pod)),
      overlay_(store_.begin_overlay(user_)),
      before_(store_.get(user_)) {}

DiskSnapshot::~DiskSnapshot() {
  if (step_ != Step::begun && step_ != Step::unneeded) return;
  try {
    store_.abandon_overlay(user_);
  } catch (const Error& error) {
    log::warning("take back a snapshot: {}", error.what());
  }
}

void DiskSnapshot::give_up() {
  if (step_ != Step::taken) return;
  try {
    commit();
  } catch (const Error& error) {
    log::warning("give up a snapshot: {}", error.what());
  }
}

/// QEMU has written back all there was when the guest came to stand still.
bool DiskSnapshot::has_written() const {
  if (before_.below.empty()) return true;
  const UniqueFd top = open_file(before_.top.file, O_RDONLY | O_NOFOLLOW);
  return !hypervisor::is_untouched_overlay(top.get(), before_.top.bytes);
}

Task<> DiskSnapshot::take(hypervisor::Machine& machine) {
  if (!has_written()) {
    step_ = Step::unneeded;
    co_return;
  }
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

Task<> DiskSnapshot::settle(hypervisor::Machine& machine) {
  if (step_ != Step::unknown) co_return;
  const bool is_there = co_await machine.settle_disk(kScratchDisk);
  step_ = is_there ? Step::taken : Step::begun;
}

disk::Layer DiskSnapshot::commit(const std::vector<std::string>& holders) {
  if (step_ == Step::unneeded) {
    layer_ = before_.below.front();
    store_.hold(layer_.id, holders);
    return layer_;
  }
  if (step_ != Step::taken) throw Error(Code::wrong_state, "the snapshot was not taken");
  layer_ = store_.commit_overlay(user_, holders);
  step_ = Step::committed;
  return layer_;
}

Task<> DiskSnapshot::seal(hypervisor::Machine& machine) {
  if (step_ != Step::committed) co_return;
  try {
    const UniqueFd layer = open_file(layer_.file, O_RDONLY | O_NOFOLLOW);
    co_await machine.seal_disk(kScratchDisk, layer.get());
  } catch (const Error& error) {
    log::warning("seal the layer {}: {}", layer_.id, error.what());
  }
}

}  // namespace berth::launcher
