// The ways in which a machine ends, and how the host tells them apart.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/error.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

using Reason = hypervisor::MachineEnd::Reason;
using ::testing::HasSubstr;

TEST(TetherVm, ARebootIsAnOrderlyEndAndTellsItselfFromAPowerOff) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main("echo kept > /file; echo written; " + kIdle);
    co_await guest->wait_output(
        "main", "line", [](const SessionOutput& output) { return output.standard_output == "written\n"; });
    co_await guest->order(order_for_main(link::verb::reboot));
    EXPECT_NE(guest->session("main").detail.stop_time, 0);
    EXPECT_EQ(guest->session("main").signal, SIGKILL);
    const hypervisor::MachineEnd end = co_await guest->machine().wait_end();
    EXPECT_EQ(end.reason, Reason::reset) << end.describe();
    std::vector<std::string> words{"-h"};
    words.push_back(guest->scratch().string());
    EXPECT_THAT(run_tool("/sbin/dumpe2fs", words), Not(HasSubstr("needs_recovery")));

    Guest::Options options;
    options.scratch_image = guest->scratch();
    auto again = co_await Guest::boot(options);
    again->config.sessions["main"] = make_session(shell("cat /file"));
    co_await again->push();
    co_await again->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(again->output("main").standard_output, "kept\n");
    EXPECT_EQ((co_await again->power_off()).reason, Reason::powered_off);
  });
}

TEST(TetherVm, APanicOfTheKernelIsNoReboot) {
  run_on_loop([]() -> Task<> {
    Guest::Options options;
    options.kernel_arguments = "sysctl.vm.panic_on_oom=2";
    auto guest = co_await Guest::boot(options);
    guest->config.sessions["main"] = make_session(shell("exec tail /dev/zero"));
    guest->config.sessions["main"].resources.memory = 16 << 20;
    try {
      co_await guest->push();
    } catch (const Error&) {
      // The machine may be gone before it has answered.
    }
    const hypervisor::MachineEnd end = co_await guest->machine().wait_end();
    EXPECT_EQ(end.reason, Reason::panicked) << end.describe();
    EXPECT_THAT(end.detail, HasSubstr("panic_on_oom"));
  });
}

TEST(TetherVm, AnOrderThatNobodyKnowsIsRefused) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    std::string refusal;
    try {
      co_await guest->order(order_for_main("dance"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::unsupported);
      refusal = error.message();
    }
    EXPECT_EQ(refusal, "the tether does not know the order \"dance\"");
    EXPECT_EQ((co_await guest->power_off()).reason, Reason::powered_off);
  });
}

}  // namespace
}  // namespace berth::tether_test
