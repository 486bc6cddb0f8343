#include "hypervisor/qemu/outcome.hpp"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/qemu/arguments.hpp"

namespace berth::hypervisor::qemu {
namespace {

constexpr std::size_t kQuoted = 400;

struct KnownFailure {
  std::string_view text;  ///< in QEMU's message
  Code code;
  std::string_view advice;
};

constexpr std::array kKnownFailures{
    KnownFailure{"cannot set up guest memory", Code::capacity,
                 "the host has not enough memory for the machine; give it less or end others"},
    KnownFailure{"Cannot allocate memory", Code::capacity,
                 "the host has not enough memory for the machine; give it less or end others"},
    KnownFailure{"could not load PC BIOS", Code::not_found,
                 "QEMU's firmware is missing; install the package seabios"},
    KnownFailure{"failed to find romfile", Code::not_found,
                 "QEMU's firmware is missing; install the package qemu-system-data"},
    KnownFailure{"Could not access KVM kernel module", Code::unavailable,
                 "/dev/kvm cannot be used; try software emulation (--accel tcg)"},
    KnownFailure{"failed to initialize kvm", Code::unavailable,
                 "KVM does not work on this host; try software emulation (--accel tcg)"},
    KnownFailure{"kvm_init_vcpu", Code::unavailable,
                 "KVM does not work on this host; try software emulation (--accel tcg)"},
    KnownFailure{"failed to set MSR", Code::unavailable,
                 "this host's KVM lacks a processor register that QEMU needs"},
    KnownFailure{"\" lock", Code::busy, "a disk is in use by another machine"},
    KnownFailure{"could not load kernel", Code::corrupt, "the guest kernel is not one that QEMU can boot"},
    KnownFailure{"load of migration failed", Code::corrupt,
                 "the frozen machine is damaged or of another kind; make it anew"},
    KnownFailure{"seccomp", Code::unsupported, "QEMU cannot confine itself on this host's kernel"},
};

/// A signal that a program gets for its own faults.
bool is_fault(int signal) {
  constexpr std::array kFaults{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
  return std::find(kFaults.begin(), kFaults.end(), signal) != kFaults.end();
}

std::string last_words(std::string_view output) {
  output = trim(output);
  if (output.size() > kQuoted) output.remove_prefix(output.size() - kQuoted);
  return printable(output);
}

/// The line around the place of what was found, without the program's name.
std::string line_at(std::string_view output, std::size_t place) {
  const std::size_t before = output.rfind('\n', place);
  if (before != std::string_view::npos) output.remove_prefix(before + 1);
  output = trim(output.substr(0, output.find('\n')));
  constexpr std::string_view kProgram = "qemu-system-x86_64: ";
  if (output.starts_with(kProgram)) output.remove_prefix(kProgram.size());
  return printable(output, kQuoted);
}

/// What the kernel gave as the cause of its last panic; empty when the console shows none.
std::string panic_line(std::string_view console) {
  constexpr std::string_view kPanic = "Kernel panic - not syncing: ";
  const std::size_t begin = console.rfind(kPanic);
  if (begin == std::string_view::npos) return {};
  const std::string_view rest = console.substr(begin + kPanic.size());
  return printable(trim(rest.substr(0, rest.find('\n'))), kQuoted);
}

}  // namespace

MachineEnd judge_end(const Evidence& evidence) {
  using Reason = MachineEnd::Reason;
  const std::string& cause = evidence.shutdown_reason;
  const std::string panic = panic_line(evidence.console);
  if (cause == "guest-shutdown") return {Reason::powered_off, evidence.exit, {}};
  if (evidence.panic_reported || cause == "guest-panic") return {Reason::panicked, evidence.exit, panic};
  // A kernel that panics before it has loaded pvpanic resets the machine.
  if (cause == "guest-reset" && !panic.empty()) return {Reason::panicked, evidence.exit, panic};
  if (cause == "guest-reset") return {Reason::reset, evidence.exit, {}};
  if (evidence.ended_by_us) return {Reason::quit, evidence.exit, {}};
  const std::string words = last_words(evidence.error_output);
  const bool killed =
      cause == "host-signal" || (evidence.exit.signal != 0 && !is_fault(evidence.exit.signal));
  return {killed ? Reason::killed : Reason::failed, evidence.exit, words};
}

std::string describe(const PortForward& forward) {
  const std::string_view protocol = forward.protocol == PortForward::Protocol::tcp ? "tcp" : "udp";
  return fmt::format("{}:{}/{}", forward.host_address, forward.host_port, protocol);
}

Error explain_forward_failure(const PortForward& forward) {
  const bool tcp = forward.protocol == PortForward::Protocol::tcp;
  const UniqueFd probe(::socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (tcp) ::setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(forward.host_port);
  ::inet_pton(AF_INET, forward.host_address.c_str(), &address.sin_addr);
  const bool bound = ::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  const std::string name = describe(forward);
  if (bound) return Error(Code::unavailable, "QEMU could not listen on {}", name);
  switch (errno) {
    case EADDRINUSE:
      return Error(Code::already_exists, "{} is already in use on this host; publish another port", name);
    case EACCES:
      return Error(Code::invalid_argument, "{}: only root may publish a port below 1024", name);
    case EADDRNOTAVAIL:
      return Error(Code::invalid_argument, "{}: this host has no such address", name);
    default:
      return errno_error("listen on " + name);
  }
}

Error explain_start_failure(const MachineSpec& spec, const ExitStatus& exit, std::string_view error_output) {
  for (const PortForward& forward : spec.forwards) {
    const std::string rule = "host forwarding rule '" + forward_rule(forward) + "'";
    if (error_output.find(rule) != std::string_view::npos) return explain_forward_failure(forward);
  }
  for (const KnownFailure& known : kKnownFailures) {
    if (const std::size_t place = error_output.find(known.text); place != std::string_view::npos) {
      return Error(known.code, "{} (QEMU: {})", known.advice, line_at(error_output, place));
    }
  }
  const std::string words = last_words(error_output);
  const bool killed = exit.signal != 0 && !is_fault(exit.signal);
  return Error(killed ? Code::unavailable : Code::internal, "QEMU could not start the machine: it {}{}{}",
               exit.describe(), words.empty() ? "" : ": ", words);
}

}  // namespace berth::hypervisor::qemu
