#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/process.hpp"
#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

/// QEMU's ends of its channels, descriptors of the caller.
struct Channels {
  int monitor = -1;
  int console = -1;
  std::array<int, kPortCount> ports{-1, -1, -1};
  int standard_error = -1;
};

/// The command line that starts a stopped machine (-S) which QMP then continues. Pure but for the group of
/// `kvm_device`, which is looked up when credentials and KVM are asked for.
/// Throws Code::invalid_argument for a spec that cannot be.
ProcessSpec make_process_spec(const MachineSpec& spec, const std::filesystem::path& program,
                              const Channels& channels, const std::filesystem::path& kvm_device = "/dev/kvm");

/// What the guest kernel is told.
std::string kernel_command_line(const MachineSpec& spec);

/// "tcp:127.0.0.1:8080-:80", checked.
std::string forward_rule(const PortForward& forward);

/// The Error for a QEMU that ended before it ran, from what it wrote to standard error.
Error start_error(const std::string& error_output, const ExitStatus& exit);

}  // namespace berth::hypervisor::qemu
