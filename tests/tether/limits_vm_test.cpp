// What a container may use of its machine, and what is told when it wants more.

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

/// One process that needs 96 MiB at once.
const std::string kGreedy = "exec dd if=/dev/zero of=/dev/null bs=96M count=1";

bool has_ended(const SessionOutput& output) {
  return output.ended;
}

TEST(TetherVm, LimitsHoldForAContainerWithItsExecs) {
  run_on_loop([]() -> Task<> {
    const Guest::Options options;
    auto guest = co_await Guest::boot(options);
    config::SessionConfig main = make_session(shell(kIdle));
    main.resources.memory = 64 << 20;
    main.resources.pids_limit = 16;
    main.resources.nano_cpus = 500'000'000;
    guest->config.sessions["main"] = main;
    co_await guest->push();
    co_await guest->wait_started("main");
    co_await guest->exec("sees", shell("cd /sys/fs/cgroup; cat memory.max pids.max cpu.max"));
    co_await guest->wait_output("sees", "end", has_ended);
    EXPECT_EQ(guest->output("sees").standard_output, "67108864\n16\n50000 100000\n");

    auto session = co_await guest->exec("greedy", shell(kGreedy));
    EXPECT_EQ(session.signal, 9);
    EXPECT_TRUE(session.oom_killed);
    EXPECT_EQ(guest->session("main").detail.stop_time, 0) << "only the greedy process was to end";

    // The shell ends when it cannot fork; what it has started stays.
    session = co_await guest->exec("bomb", shell("while :; do sleep 100000 & done"));
    EXPECT_EQ(session.started, "true");
    EXPECT_NE(session.exit_status, 0);
    link::Order order = order_for_main(link::verb::stats);
    link::Stats stats;
    extraconfig::decode(co_await guest->order(order), stats);
    EXPECT_GT(stats.processes, 8u);
    EXPECT_LE(stats.processes, 16u);
    EXPECT_EQ(stats.memory_limit_bytes, 64u << 20);

    order = order_for_main(link::verb::signal);
    order.signal = 9;
    order.whole_session = true;
    co_await guest->order(order);
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").signal, 9);
    EXPECT_TRUE(guest->session("main").oom_killed) << "as with Docker, a kill in the container counts";

    // G7: the container's own process needs too much.
    guest->config.sessions["main"].cmd = make_session(shell(kGreedy)).cmd;
    co_await guest->push();
    order = order_for_main(link::verb::start);
    co_await guest->order(order);
    co_await guest->wait_session("main", "the OOM kill", [](const config::SessionConfig& ended) {
      return ended.detail.stop_time != 0 && ended.oom_killed;
    });
    EXPECT_EQ(guest->session("main").signal, 9);
    co_await guest->power_off();
  });
}

TEST(TetherVm, G7AContainerThatTakesAllMemoryLeavesTheTetherAlone) {
  run_on_loop([]() -> Task<> {
    const Guest::Options options;
    auto guest = co_await Guest::boot(options);
    // The files of a tmpfs are not freed by a kill: the memory is still full when the shell goes.
    guest->config.sessions["main"] = make_session(shell("dd if=/dev/zero of=/tmp/all bs=1M; exit 3"));
    config::MountSpec temporary;
    temporary.source.scheme = "tmpfs";
    temporary.path = "/tmp";
    temporary.mode = "size=4g";
    guest->config.mounts["t"] = temporary;
    co_await guest->push();
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").exit_status, 3);
    EXPECT_TRUE(guest->session("main").oom_killed);
    const auto end = co_await guest->power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off) << end.describe();
  });
}

}  // namespace
}  // namespace berth::tether_test
