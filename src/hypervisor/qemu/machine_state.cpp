#include "hypervisor/qemu/machine_state.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <exception>
#include <utility>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "hypervisor/qemu/arguments.hpp"
#include "hypervisor/qemu/outcome.hpp"
#include "hypervisor/qemu/statistics.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

/// From the end of the process to the end of what it had written.
constexpr Milliseconds kDrainLimit{1'000};
constexpr std::size_t kErrorTail = 4096;

}  // namespace

QemuMachine::State::State(const asio::any_io_executor& executor, Process child, HostEnds ends,
                          const MachineSpec& spec)
    : process(std::move(child)),
      qmp(executor, std::move(ends.monitor), [this](const QmpEvent& event) { note(event); }),
      console(executor, std::move(ends.console), kConsoleTail),
      errors(executor, std::move(ends.standard_error), kErrorTail),
      ports(std::move(ends.ports)),
      hotplug(executor, qmp, spec),
      migration(executor, qmp),
      has_memory_file(spec.memory_file >= 0),
      has_shared_folders(!spec.shared_folders.empty()),
      ended(executor) {}

void QemuMachine::State::note(const QmpEvent& event) {
  log::debug("QEMU: {}", event.name);
  hotplug.note(event);
  migration.note(event);
  if (event.name == "GUEST_PANICKED") panic_reported = true;
  if (event.name == "SHUTDOWN") {
    const json::value* reason = event.data.if_contains("reason");
    if (reason != nullptr && reason->is_string()) shutdown_reason = std::string(reason->get_string());
  }
  if (event.name == "STOP" && !self.expired()) {
    spawn_detached(ended.executor(), "look at a stopped machine", kill_when_stuck(self.lock()));
  }
}

/// Virtualization that fails stops the machine for good, with QEMU alive.
Task<> QemuMachine::State::kill_when_stuck(Self self) {
  const json::value status = co_await self->qmp.execute("query-status");
  const json::object* fields = status.if_object();
  const json::value* name = fields != nullptr ? fields->if_contains("status") : nullptr;
  if (name != nullptr && name->is_string() && name->get_string() == "internal-error")
    self->process.signal(SIGKILL);
}

void QemuMachine::State::finish(const ExitStatus& exit) {
  if (end) return;
  end = judge_end({exit, shutdown_reason, panic_reported, ended_by_us, console.text(), errors.text()});
  ended.notify_all();
  migration.note_end();
}

void QemuMachine::State::destroy() {
  if (end) return;
  ended_by_us = true;
  process.signal(SIGKILL);
  finish(process.wait_for(kKillLimit).value_or(ExitStatus{0, SIGKILL}));
}

Task<> QemuMachine::State::supervise(Self self) {
  const ExitStatus exit = co_await wait_exit(self->process);
  co_await self->qmp.wait_closed(kDrainLimit);
  co_await self->errors.wait_end(kDrainLimit);
  co_await self->console.wait_end(kDrainLimit);
  self->finish(exit);
}

Task<bool> QemuMachine::State::settle_disk(Self self, std::string serial) {
  bool is_there = false;
  co_await change(self, self->hotplug.settle_disk(std::move(serial), is_there));
  co_return is_there;
}

Task<MachineEnd> QemuMachine::State::wait_end(Self self) {
  while (!self->end) co_await self->ended.wait();
  co_return *self->end;
}

Task<bool> QemuMachine::State::wait_end_within(Self self, Milliseconds limit) {
  if (!self->end) co_await self->ended.wait_for(limit);
  co_return self->end.has_value();
}

Task<> QemuMachine::State::quit(Self self, Milliseconds limit) {
  if (self->end) co_return;
  self->ended_by_us = true;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  try {
    co_await self->qmp.execute("quit", {}, limit);
  } catch (const Error& error) {
    log::debug("quit: {}", error.what());  // gone already, or stuck: what follows deals with both
  }
  if (co_await wait_end_within(self, left_until(deadline))) co_return;
  self->process.signal(SIGKILL);
  if (!co_await wait_end_within(self, kKillLimit)) {
    throw Error(Code::timeout, "QEMU (process {}) does not end even by SIGKILL", self->process.pid());
  }
}

Task<json::value> QemuMachine::State::order(Self self, std::string command, json::object arguments) {
  if (!self->end) {
    try {
      co_return co_await self->qmp.execute(std::move(command), std::move(arguments));
    } catch (const Error& error) {
      if (error.code() != Code::unavailable) throw;
    }
  }
  throw Error(Code::wrong_state, "the machine has ended");
}

/// An order that adds something or takes it away.
Task<> QemuMachine::State::change(Self self, Task<> step) {
  if (!self->end) {
    try {
      co_await std::move(step);
      co_return;
    } catch (const Error& error) {
      if (error.code() != Code::unavailable || !self->qmp.is_closed()) throw;
    }
  }
  throw Error(Code::wrong_state, "the machine has ended");
}

Task<> QemuMachine::State::simple_order(Self self, std::string command) {
  co_await order(self, std::move(command));
}

Task<std::string> QemuMachine::State::human_order(Self self, std::string command_line) {
  json::object arguments{{"command-line", std::move(command_line)}};
  const json::value printed = co_await order(self, "human-monitor-command", std::move(arguments));
  const json::string* text = printed.if_string();
  co_return text != nullptr ? std::string(*text) : std::string();
}

Task<MachineStatistics> QemuMachine::State::statistics(Self self) {
  const json::value disks = co_await order(self, "query-blockstats");
  const std::string process = "/proc/" + std::to_string(self->process.pid());
  const auto stat = find_file(process + "/stat");
  if (!stat) throw Error(Code::wrong_state, "the machine has ended");
  MachineStatistics result = parse_process_stat(*stat);
  try {
    add_process_memory(read_file(process + "/smaps_rollup"), result);
  } catch (const Error& error) {
    log::debug("memory of QEMU: {}", error.what());
  }
  result.disks = parse_disk_statistics(disks, self->hotplug.disks());
  co_return result;
}

Task<> QemuMachine::State::add_forward(Self self, PortForward forward) {
  const std::string answer =
      co_await human_order(self, fmt::format("hostfwd_add {} {}", kUserNetworkId, forward_rule(forward)));
  if (answer.empty()) co_return;
  if (answer.find("host forwarding rule") != std::string::npos) throw explain_forward_failure(forward);
  throw Error(Code::wrong_state, "the machine has no user network: {}", answer);
}

Task<> QemuMachine::State::remove_forward(Self self, PortForward forward) {
  const std::string answer =
      co_await human_order(self, fmt::format("hostfwd_remove {} {}", kUserNetworkId, forward_key(forward)));
  if (answer.find("removed") != std::string::npos) co_return;
  throw Error(Code::not_found, "{} is not forwarded to the machine", describe(forward));
}

/// The state that a machine begins with does not make it run.
Task<> QemuMachine::State::let_run(Self self, MachineSpec spec) {
  if (spec.receives >= 0) {
    co_await self->migration.listen(Migration::Source::stream);
    co_return;
  }
  if (spec.frozen) {
    co_await self->migration.listen(Migration::Source::file);
    co_await self->migration.wait_loaded(kStartLimit);
  }
  co_await self->qmp.execute("cont");
}

Task<> QemuMachine::State::wait_received(Self self, Milliseconds limit) {
  try {
    co_await self->migration.wait_loaded(limit);
    co_return;
  } catch (const Error& error) {
    if (error.code() != Code::unavailable) throw;
  }
  co_await wait_end_within(self, kKillLimit);
  throw Error(Code::unavailable, "the copy of the machine did not come to its end: {}",
              self->end ? self->end->detail : "QEMU hangs");
}

Task<> QemuMachine::State::freeze(Self self, UniqueFd state_file) {
  if (!self->has_memory_file) throw Error(Code::wrong_state, "the machine's memory is not in a file");
  co_await order(self, "stop");
  co_await change(self, self->migration.save(std::move(state_file)));
}

namespace {

class QemuCopy final : public MachineCopy {
 public:
  QemuCopy(std::shared_ptr<QemuMachine::State> state, unsigned number)
      : state_(std::move(state)), number_(number) {}
  QemuCopy(const QemuCopy&) = delete;
  QemuCopy& operator=(const QemuCopy&) = delete;
  ~QemuCopy() override {
    if (!state_->end) spawn_detached(state_->ended.executor(), "give up a copy", abandon(state_, number_));
  }

  Task<> approach(Milliseconds limit) override { return step(state_->migration.approach(limit)); }
  Task<> stop() override { return step(state_->migration.stop()); }
  Task<> finish() override { return step(state_->migration.finish()); }

 private:
  using Self = std::shared_ptr<QemuMachine::State>;
  Task<> step(Task<> task) { return step(state_, number_, std::move(task)); }
  static Task<> step(Self self, unsigned number, Task<> task) {
    std::exception_ptr failure;
    try {
      co_await QemuMachine::State::change(self, std::move(task));
    } catch (...) {
      failure = std::current_exception();
    }
    if (!failure) co_return;
    if (!self->end) co_await QemuMachine::State::change(self, self->migration.abandon(number));
    std::rethrow_exception(failure);
  }
  static Task<> abandon(Self self, unsigned number) { co_await self->migration.abandon(number); }

  Self state_;
  const unsigned number_;
};

}  // namespace

Task<std::unique_ptr<MachineCopy>> QemuMachine::State::begin_copy(Self self, UniqueFd stream) {
  if (self->has_shared_folders)
    throw Error(Code::unsupported, "a machine with shared folders of the host cannot be copied");
  const std::string addition = co_await self->hotplug.first_addition();
  if (!addition.empty()) {
    throw Error(Code::unsupported, "the machine cannot be copied while it has the {} that came while it ran",
                addition);
  }
  unsigned number = 0;
  co_await change(self, self->migration.begin(std::move(stream), number));
  co_return std::make_unique<QemuCopy>(self, number);
}

}  // namespace berth::hypervisor::qemu
