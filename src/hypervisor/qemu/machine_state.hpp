#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "base/async.hpp"
#include "base/process.hpp"
#include "base/tail.hpp"
#include "hypervisor/qemu/hotplug.hpp"
#include "hypervisor/qemu/machine.hpp"
#include "hypervisor/qemu/migration.hpp"
#include "hypervisor/qemu/qmp.hpp"

namespace berth::hypervisor::qemu {

/// From the spawn to an answering monitor; a busy host takes long to set up a machine of much memory.
inline constexpr Milliseconds kStartLimit{30'000};
/// From SIGKILL to the process being gone: its memory is torn down in between.
inline constexpr Milliseconds kKillLimit{10'000};

/// The host's ends of what QEMU is given.
struct HostEnds {
  UniqueFd monitor;
  UniqueFd console;
  UniqueFd standard_error;
  std::array<UniqueFd, kPortCount> ports;
};

/// A QEMU process and what is known of its machine.
struct QemuMachine::State {
  State(const asio::any_io_executor& executor, Process child, HostEnds ends, const MachineSpec& spec);

  void note(const QmpEvent& event);
  void finish(const ExitStatus& exit);
  void destroy();

  // Coroutines own the state they work on: the machine may be destroyed while they wait.
  using Self = std::shared_ptr<State>;
  static Task<> supervise(Self self);
  static Task<bool> settle_disk(Self self, std::string serial);
  static Task<MachineEnd> wait_end(Self self);
  static Task<bool> wait_end_within(Self self, Milliseconds limit);
  static Task<> quit(Self self, Milliseconds limit);
  static Task<boost::json::value> order(Self self, std::string command, boost::json::object arguments = {});
  static Task<> simple_order(Self self, std::string command);
  static Task<std::string> human_order(Self self, std::string command_line);
  static Task<> kill_when_stuck(Self self);
  static Task<MachineStatistics> statistics(Self self);
  static Task<> change(Self self, Task<> step);
  static Task<> let_run(Self self, MachineSpec spec);
  static Task<> wait_received(Self self, Milliseconds limit);
  static Task<> freeze(Self self, UniqueFd state_file);
  static Task<std::unique_ptr<MachineCopy>> begin_copy(Self self, UniqueFd stream);
  static Task<> add_forward(Self self, PortForward forward);
  static Task<> remove_forward(Self self, PortForward forward);

  Process process;
  QmpClient qmp;
  Tail console;
  Tail errors;
  std::array<UniqueFd, kPortCount> ports;
  Hotplug hotplug;
  Migration migration;
  std::weak_ptr<State> self;
  const bool has_memory_file;
  const bool has_shared_folders;

  Event ended;
  std::optional<MachineEnd> end;
  std::string shutdown_reason;
  bool panic_reported = false;
  bool ended_by_us = false;
};

}  // namespace berth::hypervisor::qemu
