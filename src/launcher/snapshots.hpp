#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "base/unique_fd.hpp"
#include "extraconfig/pairs.hpp"
#include "hypervisor/hypervisor.hpp"
#include "launcher/paths.hpp"
#include "record/pod.hpp"

namespace berth::launcher {

/// What is told of a snapshot, as JSON.
struct SnapshotInfo {
  std::string name;
  std::string pod;               ///< id of the pod that it is of
  std::string layer;             ///< of its disk, which disk_user() holds
  std::int64_t created = 0;      ///< nanoseconds since 1970-01-01 UTC
  std::int64_t interrupted = 0;  ///< nanoseconds that the pod's processes stood still for it

  // The machine, as far as its copies' have to be like it.
  std::string qemu;  ///< which program, see fingerprint()
  std::string kernel;
  std::string initramfs;
  std::string accelerator;
  std::uint32_t cpus = 1;
  std::uint32_t most_cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t most_memory_bytes = 0;
  std::string card;  ///< address of its one network card; empty: none
  bool has_network = false;
  std::string state_hash;  ///< as of hypervisor::state_hash()

  // What its launcher knew of the guest.
  std::int64_t runs_ended = 0;
  std::int64_t outputs_ended = 0;
};

/// A running pod as it was at one instant, from which any number of copies go on.
struct Snapshot : SnapshotInfo {
  extraconfig::Pairs guest;   ///< configuration of the guest, without its keys
  extraconfig::Pairs record;  ///< of the pod

  /// Of disk::Store.
  static std::string disk_user(std::string_view name) { return "snapshot:" + std::string(name); }
};

/// The machine of a copy, but for its disks, forwards and credentials; its card has nothing behind it.
hypervisor::MachineSpec machine_spec(const Snapshot& snapshot);
/// The reverse, for the machine of a pod.
void describe_machine(const hypervisor::MachineSpec& spec, Snapshot& snapshot);

/// Snapshots below one folder (docs/fork.md): what users keep, and, with names that begin with a dot, what is
/// there for one fork only. Safe for many processes at once.
class SnapshotStore {
 public:
  explicit SnapshotStore(const Paths& paths) : paths_(paths) {}

  /// A name for one fork.
  static std::string passing_name();
  static bool is_passing(std::string_view name);
  /// Throws invalid-argument for what is no name of a snapshot that is kept.
  static void check_name(std::string_view name);

  /// The same, but for a passing snapshot's, too.
  static void check_any_name(std::string_view name);

  /// Whoever makes or uses a passing snapshot holds it. What is left of one that cannot be read any more
  /// makes way. Throws already-exists for a snapshot that is there, busy while somebody makes it.
  FileLock reserve(const std::string& name);
  /// Removes a passing snapshot, and of another what a failure has left.
  void end_reservation(const std::string& name, FileLock& lock);

  /// The files of a snapshot in the making.
  struct Draft {
    std::filesystem::path folder;
    UniqueFd memory;
    UniqueFd state;
  };
  Draft begin(const std::string& name, std::uint64_t memory_bytes);
  /// Nobody writes to the files any more.
  void keep(Draft draft, const Snapshot& snapshot);
  /// Removes what begin() made.
  void abandon(const std::string& name);

  struct Files {
    UniqueFd memory;
    UniqueFd state;
  };
  /// Both throw not-found, corrupt.
  Snapshot get(std::string_view name) const;
  Files open(const Snapshot& snapshot) const;
  bool contains(std::string_view name) const;
  /// Whether something is there by that name, be it a snapshot that can be read or not.
  bool is_taken(const std::string& name) const;
  /// Those that are kept and can be read, newest first.
  std::vector<Snapshot> list() const;
  /// Names of the others: they take room until they are removed.
  std::vector<std::string> damaged() const;
  /// Bytes on disk, without the disk's layer.
  std::uint64_t bytes(std::string_view name) const;
  /// With what it holds of disks; copies go on. A missing one is fine.
  void remove(const std::string& name);
  /// What is left of one by that name, half or passing, unless somebody makes it or, passing, uses it.
  void remove_unless_reserved(const std::string& name);
  /// Removes what killed commands and launchers have left.
  void sweep();

 private:
  bool is_being_made(const std::string& name) const;
  std::vector<std::string> names() const;
  std::filesystem::path folder() const { return paths_.snapshots(); }
  std::filesystem::path place(std::string_view name) const { return folder() / name; }
  std::filesystem::path draft_place(const std::string& name) const { return folder() / (name + ".draft"); }
  std::filesystem::path lock_place(const std::string& name) const { return folder() / (name + ".lock"); }

  Paths paths_;
};

}  // namespace berth::launcher
