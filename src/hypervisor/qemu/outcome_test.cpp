#include "hypervisor/qemu/outcome.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor::qemu {
namespace {

using ::testing::HasSubstr;
using Reason = MachineEnd::Reason;

Reason reason_of(std::string shutdown_reason, bool ended_by_us, int signal = 0) {
  Evidence evidence;
  evidence.exit.signal = signal;
  evidence.shutdown_reason = std::move(shutdown_reason);
  evidence.ended_by_us = ended_by_us;
  return judge_end(evidence).reason;
}

TEST(JudgeEnd, GoesByWhatQemuSaid) {
  EXPECT_EQ(reason_of("guest-shutdown", false), Reason::powered_off);
  EXPECT_EQ(reason_of("guest-reset", false), Reason::reset);
  EXPECT_EQ(reason_of("guest-panic", false), Reason::panicked);
  EXPECT_EQ(reason_of("host-qmp-quit", true), Reason::quit);
  EXPECT_EQ(reason_of("host-signal", false), Reason::killed);
}

TEST(JudgeEnd, TheGuestMayBeQuickerThanOurQuit) {
  EXPECT_EQ(reason_of("guest-shutdown", true, SIGKILL), Reason::powered_off);
}

TEST(JudgeEnd, TellsAKillFromACrash) {
  EXPECT_EQ(reason_of("", true, SIGKILL), Reason::quit);
  EXPECT_EQ(reason_of("", false, SIGKILL), Reason::killed);
  EXPECT_EQ(reason_of("", false, SIGSEGV), Reason::failed);
  EXPECT_EQ(reason_of("", false), Reason::failed);
}

TEST(JudgeEnd, FindsThePanicOnTheConsole) {
  Evidence evidence;
  evidence.shutdown_reason = "guest-reset";
  evidence.console =
      "[ 1.0] Kernel panic - not syncing: old\r\n[ 1.5] Kernel panic - not syncing: VFS: no root\x1b\r\n---";
  EXPECT_EQ(judge_end(evidence).reason, Reason::panicked);
  EXPECT_THAT(judge_end(evidence).detail, HasSubstr("VFS: no root"));
  EXPECT_EQ(judge_end(evidence).detail.find('\x1b'), std::string::npos);
}

TEST(ExplainStartFailure, QuotesTheLineThatTells) {
  const ExitStatus aborted{0, SIGABRT};
  const Error error = explain_start_failure({}, aborted,
                                            "qemu-system-x86_64: warning: old\n"
                                            "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n"
                                            "qemu-system-x86_64: kvm.c:3183: Assertion failed.\n");
  EXPECT_EQ(error.code(), Code::unavailable);
  EXPECT_THAT(error.message(), testing::EndsWith("needs (QEMU: error: failed to set MSR 0x10a to 0x69)"));
}

TEST(JudgeEnd, QuotesTheLastWords) {
  Evidence evidence;
  evidence.exit.code = 1;
  evidence.error_output = std::string(5000, 'x') + "\nqemu: disaster\n";
  const MachineEnd end = judge_end(evidence);
  EXPECT_THAT(end.describe(), HasSubstr("exited with 1"));
  EXPECT_THAT(end.detail, HasSubstr("qemu: disaster"));
  EXPECT_LT(end.detail.size(), 2000u);
}

Code start_failure(std::string_view output) {
  return explain_start_failure({}, {}, output).code();
}

TEST(StartFailure, HasTheCodeThatFits) {
  EXPECT_EQ(start_failure("qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory"),
            Code::capacity);
  EXPECT_EQ(start_failure("qemu: could not load PC BIOS 'bios-256k.bin'"), Code::not_found);
  EXPECT_EQ(start_failure("Could not access KVM kernel module: Permission denied"), Code::unavailable);
  EXPECT_EQ(start_failure("Failed to get \"write\" lock"), Code::busy);
  EXPECT_EQ(start_failure("something else"), Code::internal);
}

TEST(StartFailure, OfAKilledProcessIsNotItsOwn) {
  EXPECT_EQ(explain_start_failure({}, {0, SIGKILL}, "").code(), Code::unavailable);
  EXPECT_EQ(explain_start_failure({}, {0, SIGSEGV}, "").code(), Code::internal);
}

TEST(ForwardFailure, SaysWhoHasThePort) {
  const std::uint16_t port = free_port();
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  check(::listen(socket.get(), 1), "listen");
  const Error error = explain_forward_failure({PortForward::Protocol::tcp, "127.0.0.1", port, 80});
  EXPECT_EQ(error.code(), Code::already_exists);
  EXPECT_THAT(error.what(), HasSubstr(fmt::format("127.0.0.1:{}/tcp", port)));
  EXPECT_EQ(explain_forward_failure({PortForward::Protocol::tcp, "192.0.2.1", port, 80}).code(),
            Code::invalid_argument);
}

}  // namespace
}  // namespace berth::hypervisor::qemu
