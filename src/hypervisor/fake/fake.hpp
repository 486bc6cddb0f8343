#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor {

/// The guest's side of a fake machine: the test plays the guest with it. It may outlive the machine.
class FakeGuest {
 public:
  FakeGuest(const asio::any_io_executor& executor, MachineSpec spec);

  const MachineSpec& spec() const { return spec_; }
  /// The guest's end of a port, non-blocking; each can be taken once. Ends when the machine ends.
  UniqueFd take_port(Port port);
  /// The descriptor of the disk's own file, or -1 when there is no such disk. Of layers see spec().
  int disk(std::string_view serial) const;

  /// Each ends the machine in that way; later ones have no effect.
  void power_off() { end(MachineEnd::Reason::powered_off); }
  void panic(std::string detail) { end(MachineEnd::Reason::panicked, std::move(detail)); }
  void reset() { end(MachineEnd::Reason::reset); }
  void fail(std::string detail) { end(MachineEnd::Reason::failed, std::move(detail)); }

  void write_console(std::string_view bytes);

  asio::any_io_executor executor() { return ended_.executor(); }
  bool running() const { return !end_.has_value(); }
  bool paused() const { return paused_; }
  /// What plays the guest does nothing before this returns. Throws unavailable when the machine has ended.
  Task<> wait_unpaused();
  unsigned power_button_presses() const { return power_button_presses_; }
  unsigned nmis() const { return nmis_; }
  const std::vector<PortForward>& forwards() const { return spec_.forwards; }
  /// Called from the loop when the power button is pressed.
  std::function<void()> on_power_button;
  /// Called from the loop when a disk, card, CPU or memory has come or gone.
  std::function<void()> on_plug;
  /// The guest does not let go of anything while this is set.
  bool keeps_everything = false;
  /// The next snapshot of a disk throws timeout; whether it comes about all the same.
  std::optional<bool> next_snapshot_is_late;
  /// Nor does Machine::settle_disk answer while this is set.
  bool is_silent = false;
  Size size() const { return size_; }
  /// What the guest remembers, one line; frozen machines and copies have it, too.
  std::string memory;
  /// What Machine::statistics answers.
  MachineStatistics statistics;

 private:
  friend class FakeMachine;
  friend class FakeCopy;
  friend class FakeHypervisor;
  void end(MachineEnd::Reason reason, std::string detail = {});
  void add_disk(const Disk& disk);
  void remove_disk(const std::string& serial, Milliseconds limit);
  void snapshot_disk(const std::string& serial, int overlay);
  bool settle_disk(const std::string& serial);
  void seal_disk(const std::string& serial, int layer);
  Disk& get_disk(const std::string& serial);
  void add_network_card(const NetworkCard& card);
  void remove_network_card(const std::string& mac, Milliseconds limit);
  void resize(Size size, Milliseconds limit);
  void keep_disk(Disk& disk);
  void plugged();
  void freeze(int state_file);
  void thaw();
  void begin_copy();
  void end_copy(bool finished);

  MachineSpec spec_;
  Size size_;
  std::size_t first_disks_ = 0;
  std::size_t first_cards_ = 0;
  std::vector<UniqueFd> disks_;
  std::vector<UniqueFd> layers_;
  UniqueFd receives_;
  std::set<std::string> snapshots_;  ///< serials of disks that have one
  std::optional<bool> late_snapshot_;
  std::array<UniqueFd, kPortCount> host_ports_;
  std::array<UniqueFd, kPortCount> guest_ports_;
  /// Duplicates by which the streams are ended whoever holds the ends.
  std::array<UniqueFd, kPortCount> enders_;
  std::string console_;
  bool paused_ = false;
  bool copying_ = false;
  bool paused_before_copy_ = false;
  Event resumed_;
  unsigned power_button_presses_ = 0;
  unsigned nmis_ = 0;
  Event ended_;
  std::optional<MachineEnd> end_;
  std::function<void(const PortForward&)> reserve_;
};

/// Machines without a process, for tests of what uses machines.
class FakeHypervisor final : public Hypervisor {
 public:
  Task<std::unique_ptr<Machine>> start(MachineSpec spec) override;

  /// Called from the loop with each new machine's guest, before start() returns.
  std::function<void(std::shared_ptr<FakeGuest>)> on_start;
  /// The next start throws it.
  void fail_next_start(Error error) { failure_ = std::move(error); }
  /// All that were started, also ended ones.
  const std::vector<std::shared_ptr<FakeGuest>>& guests() const { return guests_; }

 private:
  void check_free(const PortForward& forward) const;

  std::vector<std::shared_ptr<FakeGuest>> guests_;
  std::optional<Error> failure_;
};

}  // namespace berth::hypervisor
