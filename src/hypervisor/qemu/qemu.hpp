#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor {

/// Machines as processes of QEMU 7.2 or newer, q35.
class QemuHypervisor final : public Hypervisor {
 public:
  /// `program` empty: qemu-system-x86_64 is looked for. Throws not-found naming the package to install.
  explicit QemuHypervisor(std::filesystem::path program = {});

  Task<std::unique_ptr<Machine>> start(MachineSpec spec) override;

  /// Names what machines of this spec have in common with those that can go on from a frozen one of theirs:
  /// this QEMU, the host's boot, kernel, initramfs and all devices, but nothing that is behind them.
  std::string template_id(const MachineSpec& spec) const;

  /// Changes when the program does; one line.
  std::string program_fingerprint() const;

  /// "7.2.22". Throws when QEMU cannot be run.
  std::string version() const;

 private:
  std::filesystem::path program_;
};

}  // namespace berth::hypervisor
