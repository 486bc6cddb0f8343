#pragma once

#include <string>

#include "base/unique_fd.hpp"
#include "tether/session/process_plan.hpp"

namespace berth::tether {

/// What the child gives back before it executes its program, one packet each on `channel`.
namespace child_message {
inline constexpr char terminal = 'T';  ///< with the terminal's master (SCM_RIGHTS)
inline constexpr char ready = 'R';     ///< prepared, waits for any packet (ProcessPlan::wait_for_go)
inline constexpr char failed = 'F';    ///< followed by describe_launch_failure's text; the child exits
// The end of the stream: the program runs.
}  // namespace child_message

/// Largest packet in bytes.
inline constexpr std::size_t kChildMessageLimit = 4096;

/// Descriptors of the new process; -1 is /dev/null or, with a terminal, the terminal.
struct ChildDescriptors {
  int channel = -1;  ///< SOCK_SEQPACKET
  int standard_input = -1;
  int standard_output = -1;
  int standard_error = -1;
};

/// The first process of a container, in its new namespaces.
[[noreturn]] void run_container_child(const ProcessPlan& plan, const std::string& root,
                                      const ChildDescriptors& descriptors);

/// A socket of Unix may hold two hundred thousand.
inline constexpr std::size_t kPlanLimit = 128u << 10;

/// The same in two steps: the process is in the root of a container with common settings, and waits for what
/// send_plan() sends over `channel`. It has no other descriptors of the caller.
[[noreturn]] void run_waiting_child(const std::string& root, int channel);
/// `descriptors` but for the channel go to the child. Throws capacity for a plan whose encoding is longer
/// than kPlanLimit bytes.
void send_plan(int channel, const ProcessPlan& plan, const ChildDescriptors& descriptors);

/// A further process in the namespaces of the process `container` (a pidfd). Already in its PID namespace.
[[noreturn]] void run_exec_child(const ProcessPlan& plan, int container, const ChildDescriptors& descriptors);

}  // namespace berth::tether
