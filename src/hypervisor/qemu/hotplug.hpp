#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/async.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/qemu/block_nodes.hpp"
#include "hypervisor/qemu/qmp.hpp"

namespace berth::hypervisor::qemu {

/// Fields of a device on the bus of what is added later.
boost::json::object place_on_bus(std::string_view driver, std::string_view id, unsigned place);

/// What one QEMU is given and gives back while it runs; Machine's orders of that kind. It and the client must
/// outlive the coroutines.
class Hotplug {
 public:
  /// QEMU writes back first what the host's cache has of a disk.
  static constexpr Milliseconds kSnapshotLimit{60'000};

  Hotplug(const asio::any_io_executor& executor, QmpClient& qmp, const MachineSpec& spec,
          Milliseconds snapshot_limit = kSnapshotLimit);

  /// Takes an event of QEMU.
  void note(const QmpEvent& event);

  Task<> add_disk(Disk disk);
  Task<> remove_disk(std::string serial, Milliseconds limit);
  Task<> snapshot_disk(std::string serial, int overlay);
  Task<> settle_disk(std::string serial, bool& is_there);
  Task<> seal_disk(std::string serial, int layer);
  Task<> add_network_card(NetworkCard card);
  Task<> remove_network_card(std::string mac, Milliseconds limit);
  Task<> set_cpus(unsigned count, Milliseconds limit);
  Task<> set_memory(std::uint64_t bytes, Milliseconds limit);
  Size size() const { return size_; }

  /// Something that the machine has and was not started with, for a user; empty when there is nothing.
  Task<std::string> first_addition();

  /// Serial and QEMU's name of the disks that are there.
  std::map<std::string, std::string> disks() const;

 private:
  /// The right to change the machine; given back at its end.
  class Turn {
   public:
    explicit Turn(Hotplug& owner) : owner_(owner) { owner_.busy_ = true; }
    ~Turn() {
      owner_.busy_ = false;
      owner_.changed_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Hotplug& owner_;
  };
  /// Something that was added, by QEMU's name of it.
  struct Plugged {
    std::string key;  ///< serial or MAC
    unsigned place = 0;
    bool is_disk = false;
    bool leaving = false;  ///< the guest has been asked to let go
  };
  /// The files behind a disk.
  struct Files {
    std::vector<BlockImage> images;  ///< the lowest first
    std::uint64_t bytes = 0;
    bool read_only = false;
    unsigned overlays = 0;                ///< that were to be put over it
    unsigned snapshots = 0;               ///< overlays that it has
    std::optional<BlockImage> unsettled;  ///< QEMU has not said whether it was
  };
  using Taken = std::map<std::string, std::string>;

  Task<> wait_turn();
  Task<boost::json::value> execute(std::string command, boost::json::object arguments = {});
  Task<> try_execute(std::string command, boost::json::object arguments);
  Task<> plug_disk(std::string id, Disk disk, unsigned place);
  Task<> plug_card(std::string id, NetworkCard card, Plugged& plugged);
  Task<> remove(Taken& taken, std::string key, std::string what, Milliseconds limit);
  Task<> clean_up(std::string id, Plugged plugged);
  Files& files_of(const std::string& serial);
  Task<boost::json::object> add_descriptor(int fd, boost::json::object arguments = {});
  Task<> add_image(BlockImage image);
  Task<> remove_image(BlockImage image);
  Task<> remove_images(std::string id);
  Task<> put_over(BlockImage overlay, std::string below);
  Task<> reopen_sealed(BlockImage layer);
  Task<> close_writable(std::vector<BlockImage> sealed);
  Task<> sweep();
  Task<> wait_deleted(std::string id, std::string what, Milliseconds limit);
  /// In turn: a guest that is told twice to let go of a device lets go of whatever has come to its place.
  unsigned take_place();
  void forget(const std::string& id);

  struct Cpu {
    std::string path;  ///< of QEMU's object model; empty: not there
    std::string type;
    boost::json::object place;
  };
  Task<std::vector<Cpu>> query_cpus();
  Task<> remove_cpu(std::size_t index, std::string path, Milliseconds limit,
                    std::chrono::steady_clock::time_point deadline);
  Task<> add_memory_device();
  Task<std::uint64_t> plugged_memory();
  Task<> request_memory(std::uint64_t bytes);

  QmpClient& qmp_;
  const unsigned first_cpus_;
  const unsigned most_cpus_;
  const std::uint64_t first_memory_;
  const std::uint64_t reserved_memory_;
  const bool shared_memory_;
  const bool emulated_;
  const Milliseconds snapshot_limit_;
  Size size_;
  bool has_memory_device_ = false;

  Taken disks_;                         ///< by serial: QEMU's names
  Taken cards_;                         ///< by MAC
  std::map<std::string, Files> files_;  ///< by QEMU's name of the disk
  std::map<std::string, Plugged> plugged_;
  std::set<std::string> deleted_;  ///< names and paths of what the guest has let go of
  std::set<std::string> refused_;  ///< likewise, of what it said that it keeps
  unsigned next_number_ = 0;
  unsigned last_place_ = 0;
  bool busy_ = false;
  Event changed_;
};

}  // namespace berth::hypervisor::qemu
