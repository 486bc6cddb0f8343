#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"
#include "disk/store.hpp"
#include "hypervisor/hypervisor.hpp"
#include "launcher/paths.hpp"

namespace berth::launcher {

/// How the disk of a running container becomes a layer that its forks and snapshots share. In this order:
/// made; take(), while the guest stands still; commit() and seal(), when it may have gone on. Destroyed
/// before take() it leaves nothing. Cut off after that, the container has its disk, and the next start puts
/// the rest right.
class DiskSnapshot {
 public:
  /// Makes the overlay that the container goes on with. Throws as disk::Store::begin_overlay.
  DiskSnapshot(const Paths& paths, std::string_view pod);
  ~DiskSnapshot();
  DiskSnapshot(const DiskSnapshot&) = delete;
  DiskSnapshot& operator=(const DiskSnapshot&) = delete;

  /// From now on the machine writes to the overlay; one that has written nothing since the last snapshot goes
  /// on as it is, so that a container that is forked ever again has not ever more layers. Throws as
  /// Machine::snapshot_disk; after a timeout nobody knows whether it does, and there are no further snapshots
  /// until settle() has found out.
  Task<> take(hypervisor::Machine& machine);
  /// The layer, which `holders` (users as of disk::Store) have from now on. May be called again when it
  /// failed.
  disk::Layer commit(const std::vector<std::string>& holders = {});
  /// After a failure of take(): asks the machine whether it came about. Throws as Machine::settle_disk; then
  /// it is to be called again.
  Task<> settle(hypervisor::Machine& machine);
  /// Nobody needs the layer, but the machine goes on with the overlay: other snapshots can follow.
  void give_up();
  /// The machine cannot write to the layer any more. That it fails is logged: the guest never could.
  Task<> seal(hypervisor::Machine& machine);

 private:
  enum class Step { begun, unknown, taken, unneeded, committed };

  bool has_written() const;

  disk::Store store_;
  std::string user_;
  disk::Layer overlay_;
  disk::Disk before_;
  disk::Layer layer_;
  Step step_ = Step::begun;
};

}  // namespace berth::launcher
