#pragma once

#include <memory>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

class QemuMachine final : public Machine {
 public:
  struct State;
  explicit QemuMachine(std::shared_ptr<State> state) : state_(std::move(state)) {}
  QemuMachine(const QemuMachine&) = delete;
  QemuMachine& operator=(const QemuMachine&) = delete;
  ~QemuMachine() override;

  /// Spawns QEMU and lets the machine run.
  static Task<std::unique_ptr<Machine>> start(MachineSpec spec, std::filesystem::path program);

  pid_t pid() const override;
  UniqueFd take_port(Port port) override;
  Task<MachineEnd> wait_end() override;
  Task<> quit(Milliseconds limit) override;
  Task<> power_button() override;
  Task<> pause() override;
  Task<> resume() override;
  Task<> inject_nmi() override;
  Task<> freeze(int state_file) override;
  Task<> wait_received(Milliseconds limit) override;
  Task<std::unique_ptr<MachineCopy>> begin_copy(int stream) override;
  Task<MachineStatistics> statistics() override;
  Task<> add_forward(const PortForward& forward) override;
  Task<> remove_forward(const PortForward& forward) override;
  Task<> add_disk(const Disk& disk) override;
  Task<> remove_disk(std::string serial, Milliseconds limit) override;
  Task<> snapshot_disk(std::string serial, int overlay) override;
  Task<bool> settle_disk(std::string serial) override;
  Task<> seal_disk(std::string serial, int layer) override;
  Task<> add_network_card(const NetworkCard& card) override;
  Task<> remove_network_card(std::string mac, Milliseconds limit) override;
  Size size() const override;
  Task<> set_cpus(unsigned count, Milliseconds limit) override;
  Task<> set_memory(std::uint64_t bytes, Milliseconds limit) override;
  std::string console_tail() const override;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace berth::hypervisor::qemu
