#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/process.hpp"
#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

/// What is known of a QEMU process that has ended.
struct Evidence {
  ExitStatus exit;
  std::string shutdown_reason;  ///< of QMP's SHUTDOWN event: ShutdownCause of qapi/run-state.json, or empty
  bool panic_reported = false;  ///< by QMP's GUEST_PANICKED event
  bool ended_by_us = false;
  std::string console;
  std::string error_output;
};

MachineEnd judge_end(const Evidence& evidence);

/// Why a QEMU ended before it ran the machine.
Error explain_start_failure(const MachineSpec& spec, const ExitStatus& exit, std::string_view error_output);

/// Why QEMU could not listen for a forward; it does not say itself, so this tries the port.
Error explain_forward_failure(const PortForward& forward);

/// "127.0.0.1:8080/tcp".
std::string describe(const PortForward& forward);

}  // namespace berth::hypervisor::qemu
