#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/hypervisor.hpp"

namespace berth::disk {

using hypervisor::DiskFormat;

/// One file of a disk.
struct Layer {
  std::string id;  ///< 16 hex digits, never used twice
  std::filesystem::path file;
  DiskFormat format = DiskFormat::raw;
  std::uint64_t bytes = 0;  ///< as the guest sees them
  bool read_only = false;   ///< for ever: others may have it
};

/// The disk of a user: what is written goes to the top one, unless that is read-only.
struct Disk {
  Layer top;
  std::vector<Layer> below;  ///< the nearest first
};

/// How a container is called as a user of layers; others choose their own, as "snapshot:NAME".
std::string pod_user(std::string_view id);

/// The layers of disks below one data root: files, and rows in the record database (docs/store.md). A layer
/// is there as long as a user or a layer above it needs it. Safe for many processes at once, as long as one
/// user is at work for each user key; what one that was killed left, settle() and release() complete or undo.
/// One store serves one thread.
class Store {
 public:
  /// `folder` holds the files and is made when missing.
  Store(const std::filesystem::path& database, std::filesystem::path folder);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Gives a user who has none a disk of that many bytes; `make` makes the raw file. The record of a pod must
  /// be there before. Throws already-exists and what `make` throws, with nothing left.
  void create(std::string_view user, std::uint64_t bytes,
              const std::function<void(const std::filesystem::path&)>& make);
  /// The same with a raw file that is there and becomes the store's; nothing happens where there is none.
  void adopt(std::string_view user, const std::filesystem::path& file);

  /// Throws not-found.
  Disk get(std::string_view user);
  /// Another raw file, which `make` makes, in place of that of a user whose disk is one raw layer that nobody
  /// else has and no machine has open. Throws not-found and what `make` throws, and the disk is as it was
  /// then.
  void replace(std::string_view user, const std::function<void(const std::filesystem::path&)>& make);

  // How what a user has becomes read-only: begin_overlay() makes the overlay, the caller makes the machine
  // that has the disk write to it (hypervisor::Machine::snapshot_disk), commit_overlay() makes it the user's.
  // A stopped container needs no machine in between.

  /// The overlay, on the disk and not written to; what the user's top layer has in the host's cache is
  /// written back, so that the machine has little left to do. Throws not-found, busy when one is under way,
  /// capacity when there would be too many layers.
  Layer begin_overlay(std::string_view user);
  /// The layer that is read-only from now on, which `holders` have, too. Throws wrong-state when no overlay
  /// was begun.
  Layer commit_overlay(std::string_view user, const std::vector<std::string>& holders = {});
  /// Takes begin_overlay() back; only for an overlay that no machine has had.
  void abandon_overlay(std::string_view user);
  /// Puts right what a killed process or a machine's end left of these steps. No machine has the disk. One
  /// that was never written to goes, and any other is the user's.
  void settle(std::string_view user);

  /// Gives users who have none a read-only layer as it is. Throws not-found, already-exists.
  void hold(const std::string& layer, const std::vector<std::string>& users);
  /// Gives each user an overlay of its own over a read-only layer; they have none, or hold that layer. Throws
  /// not-found, already-exists, capacity. What a failure leaves goes with release().
  void copy(const std::string& layer, const std::vector<std::string>& users);
  /// Removes a user and what nobody else needs; a missing one is fine.
  void release(std::string_view user);
  /// Removes what nobody needs: layers that only pods without a record had, and files without a row.
  void sweep();

  /// What a layer takes of the host's disk.
  static std::uint64_t used_bytes(const Layer& layer);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::disk
