#include "hypervisor/qemu/machine.hpp"

#include <unistd.h>

#include <utility>
#include <vector>

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/trace.hpp"
#include "hypervisor/qemu/arguments.hpp"
#include "hypervisor/qemu/host.hpp"
#include "hypervisor/qemu/machine_spec.hpp"
#include "hypervisor/qemu/machine_state.hpp"
#include "hypervisor/qemu/outcome.hpp"

namespace berth::hypervisor::qemu {
namespace {

/// A socket pair: QEMU's end is kept in `owned` until QEMU has it, the other is returned.
UniqueFd make_channel(int& channel, std::vector<UniqueFd>& owned) {
  auto [ours, theirs] = make_socket_pair();
  set_nonblocking(ours.get());
  channel = theirs.get();
  owned.push_back(std::move(theirs));
  return std::move(ours);
}

int open_for_qemu(const std::filesystem::path& path, std::vector<UniqueFd>& owned) {
  owned.push_back(open_file(path, O_RDONLY));
  return owned.back().get();
}

/// A live QEMU that has not read its monitor yet.
std::shared_ptr<QemuMachine::State> spawn(const asio::any_io_executor& executor, const MachineSpec& spec,
                                          const std::filesystem::path& program) {
  for (const Disk& disk : spec.disks) disk_bytes(disk);
  Channels channels;
  HostEnds ends;
  std::vector<UniqueFd> owned;
  ends.monitor = make_channel(channels.monitor, owned);
  ends.console = make_channel(channels.console, owned);
  for (std::size_t i = 0; i < kPortCount; ++i) ends.ports[i] = make_channel(channels.ports[i], owned);
  auto [error_read, error_write] = make_pipe();
  channels.standard_error = error_write.get();
  ends.standard_error = std::move(error_read);
  if (boots(spec)) {
    channels.kernel = open_for_qemu(spec.kernel, owned);
    channels.initramfs = open_for_qemu(spec.initramfs, owned);
  }
  channels.state = spec.receives;
  if (spec.frozen) {
    channels.memory = spec.frozen->memory;
    channels.state = spec.frozen->state;
  } else if (spec.memory_file >= 0) {
    channels.memory = spec.memory_file;
    if (spec.credentials)
      check(::fchown(spec.memory_file, spec.credentials->uid, spec.credentials->gid), "give a file away");
  }
  Process process = Process::spawn(make_process_spec(spec, program, channels, host_facts()));
  return std::make_shared<QemuMachine::State>(executor, std::move(process), std::move(ends), spec);
}

}  // namespace

Task<std::unique_ptr<Machine>> QemuMachine::start(MachineSpec spec, std::filesystem::path program) {
  const auto executor = co_await asio::this_coro::executor;
  trace::Span span("QEMU: spawn");
  const auto state = spawn(executor, spec, program);
  std::unique_ptr<Machine> machine = std::make_unique<QemuMachine>(state);
  state->self = state;
  spawn_detached(executor, "supervise QEMU", State::supervise(state));
  if (spec.frozen)
    spawn_detached(executor, "files of QEMU", answer_opens(state->process.take_read_only_opens()));

  span.done();
  try {
    trace::Span greeting("QEMU: greeting");
    co_await state->qmp.negotiate(kStartLimit);
    greeting.done();
    const trace::Span running("QEMU: state, until it runs");
    co_await State::let_run(state, spec);
    co_return std::move(machine);
  } catch (const Error& error) {
    if (error.code() != Code::unavailable) throw;
  }
  // The connection broke: QEMU is ending and says why on its standard error.
  if (!co_await State::wait_end_within(state, kKillLimit)) {
    throw Error(Code::timeout, "QEMU closed its monitor and does not end");
  }
  throw explain_start_failure(spec, state->end->exit, state->errors.text());
}

QemuMachine::~QemuMachine() {
  state_->destroy();
}

pid_t QemuMachine::pid() const {
  return state_->process.pid();
}

UniqueFd QemuMachine::take_port(Port port) {
  UniqueFd& end = state_->ports[static_cast<std::size_t>(port)];
  if (!end) throw Error(Code::wrong_state, "the machine's {} port was taken before", to_string(port));
  return std::move(end);
}

Task<MachineEnd> QemuMachine::wait_end() {
  return State::wait_end(state_);
}

Task<> QemuMachine::quit(Milliseconds limit) {
  return State::quit(state_, limit);
}

Task<> QemuMachine::power_button() {
  return State::simple_order(state_, "system_powerdown");
}

Task<> QemuMachine::pause() {
  return State::simple_order(state_, "stop");
}

Task<> QemuMachine::resume() {
  return State::simple_order(state_, "cont");
}

Task<> QemuMachine::inject_nmi() {
  return State::simple_order(state_, "inject-nmi");
}

Task<> QemuMachine::freeze(int state_file) {
  return State::freeze(state_, duplicate(state_file));
}

Task<> QemuMachine::wait_received(Milliseconds limit) {
  return State::wait_received(state_, limit);
}

Task<std::unique_ptr<MachineCopy>> QemuMachine::begin_copy(int stream) {
  return State::begin_copy(state_, duplicate(stream));
}

Task<MachineStatistics> QemuMachine::statistics() {
  return State::statistics(state_);
}

Task<> QemuMachine::add_forward(const PortForward& forward) {
  return State::add_forward(state_, forward);
}

Task<> QemuMachine::remove_forward(const PortForward& forward) {
  return State::remove_forward(state_, forward);
}

Task<> QemuMachine::add_disk(const Disk& disk) {
  return State::change(state_, state_->hotplug.add_disk(disk));
}

Task<> QemuMachine::remove_disk(std::string serial, Milliseconds limit) {
  return State::change(state_, state_->hotplug.remove_disk(std::move(serial), limit));
}

Task<> QemuMachine::snapshot_disk(std::string serial, int overlay) {
  return State::change(state_, state_->hotplug.snapshot_disk(std::move(serial), overlay));
}

Task<bool> QemuMachine::settle_disk(std::string serial) {
  return State::settle_disk(state_, std::move(serial));
}

Task<> QemuMachine::seal_disk(std::string serial, int layer) {
  return State::change(state_, state_->hotplug.seal_disk(std::move(serial), layer));
}

Task<> QemuMachine::add_network_card(const NetworkCard& card) {
  return State::change(state_, state_->hotplug.add_network_card(card));
}

Task<> QemuMachine::remove_network_card(std::string mac, Milliseconds limit) {
  return State::change(state_, state_->hotplug.remove_network_card(std::move(mac), limit));
}

Size QemuMachine::size() const {
  return state_->hotplug.size();
}

Task<> QemuMachine::set_cpus(unsigned count, Milliseconds limit) {
  return State::change(state_, state_->hotplug.set_cpus(count, limit));
}

Task<> QemuMachine::set_memory(std::uint64_t bytes, Milliseconds limit) {
  return State::change(state_, state_->hotplug.set_memory(bytes, limit));
}

std::string QemuMachine::console_tail() const {
  return state_->console.text();
}

}  // namespace berth::hypervisor::qemu
