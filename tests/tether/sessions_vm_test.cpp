// Sessions beside each other: signals, ends, attaches that cannot be.

#include <gtest/gtest.h>
#include <signal.h>

#include "base/error.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

/// Adds an exec of "main" and waits until it runs.
Task<> start_exec(Guest& guest, std::string id, std::string script) {
  config::SessionConfig session = make_session(shell(script));
  session.common.id = id;
  session.container = "main";
  guest.config.execs[id] = std::move(session);
  co_await guest.push();
  co_await guest.wait_started(id);
}

Task<> send_signal(Guest& guest, std::string id, int number) {
  link::Order order;
  order.verb = link::verb::signal;
  order.session = std::move(id);
  order.signal = number;
  co_await guest.order(std::move(order));
}

std::function<bool(const SessionOutput&)> says(std::string text) {
  return
      [text](const SessionOutput& output) { return output.standard_output.find(text) != std::string::npos; };
}

/// What an attach that is refused brings: its channel ends without a byte.
Task<bool> is_refused(Guest& guest, std::string id) {
  const auto channel = co_await guest.attach(std::move(id), "stdin");
  char byte = 0;
  const bool empty = co_await channel->read_some(&byte, 1) == 0;
  while (!channel->closed()) co_await channel->wait_change();
  co_return empty && !channel->exit();
}

TEST(TetherVm, SignalsGoToOneProcessAndEndOneSession) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main("trap 'echo main has it' USR1; trap '' HUP; echo ready; " +
                                                 kIdle + "; wait; wait");
    co_await guest->wait_output("main", "its beginning", says("ready"));

    // B6: ignored, so nothing has changed when a later one has come.
    co_await send_signal(*guest, "main", SIGHUP);
    co_await send_signal(*guest, "main", SIGUSR1);
    co_await guest->wait_output("main", "USR1", says("main has it"));
    EXPECT_EQ(guest->session("main").detail.stop_time, 0);

    // B5: a child of the signalled shell counts what it gets, and shows it when asked by another signal.
    co_await start_exec(
        *guest, "parent",
        "sh -c 'n=0; trap \"n=1\" USR1; trap \"echo child has \\$n; exit\" USR2; echo $$ >/child; "
        "while :; do sleep 1; done' & trap 'echo parent has it' USR1; "
        "until test -s /child; do sleep 0.1; done; echo ready; while :; do wait; done");
    co_await guest->wait_output("parent", "its beginning", says("ready"));
    co_await send_signal(*guest, "parent", SIGUSR1);
    co_await guest->wait_output("parent", "USR1", says("parent has it"));
    const auto asked = co_await guest->exec("ask", shell("kill -USR2 $(cat /child)"));
    EXPECT_EQ(asked.exit_status, 0);
    co_await guest->wait_output("parent", "the child's count", says("child has"));
    EXPECT_NE(guest->output("parent").standard_output.find("child has 0"), std::string::npos);

    // C5: only the exec ends, by this signal.
    co_await send_signal(*guest, "parent", SIGTERM);
    co_await guest->wait_ended("parent");
    EXPECT_EQ(guest->session("parent").signal, SIGTERM);
    EXPECT_EQ(guest->session("main").detail.stop_time, 0);
    co_await guest->power_off();
  });
}

TEST(TetherVm, A21AStoppedProcessHasNotEnded) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    co_await start_exec(*guest, "sleeper", "echo $$ >/pid; kill -STOP $$; echo woken; exit 4");
    const auto seen = co_await guest->exec(
        "watch", shell("until grep -q '^State:.T' /proc/$(cat /pid)/status; do sleep 0.1; done"));
    EXPECT_EQ(seen.exit_status, 0);
    EXPECT_EQ(guest->session("sleeper").detail.stop_time, 0);
    co_await send_signal(*guest, "sleeper", SIGCONT);
    co_await guest->wait_ended("sleeper");
    EXPECT_EQ(guest->session("sleeper").exit_status, 4);
    co_await guest->power_off();
  });
}

TEST(TetherVm, A17AnUnknownUserIsToldBeforeAnyAttach) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    const auto exec = co_await guest->exec("ghostly", shell("true"), [](config::SessionConfig& session) {
      session.user = "ghost";
      session.run_block = true;
    });
    EXPECT_NE(exec.started.find("unable to find user ghost"), std::string::npos) << exec.started;
    co_await guest->power_off();
  });
}

TEST(TetherVm, D6D7AttachesThatCannotBeAreClosed) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    EXPECT_TRUE(co_await is_refused(*guest, "nobody"));
    co_await guest->exec("over", shell("exit 3"));
    EXPECT_TRUE(co_await is_refused(*guest, "over"));
    co_await guest->exec("failed", shell("true"),
                         [](config::SessionConfig& session) { session.user = "ghost"; });
    EXPECT_TRUE(co_await is_refused(*guest, "failed"));
    // The connection has served these and goes on.
    const auto alive = co_await guest->attach("main", "stdin");
    EXPECT_FALSE(alive->closed());
    co_await guest->power_off();
  });
}

TEST(TetherVm, C6ExecsEndWithTheirContainer) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main("trap 'exit 0' TERM; sleep 100000 & echo ready; wait");
    co_await guest->wait_output("main", "its beginning", says("ready"));
    co_await start_exec(*guest, "beside", "echo on; exec sleep 1000");
    co_await guest->wait_output("beside", "its beginning", says("on"));
    co_await send_signal(*guest, "main", SIGTERM);
    co_await guest->wait_ended("main");
    co_await guest->wait_ended("beside");
    EXPECT_EQ(guest->session("main").exit_status, 0);
    EXPECT_EQ(guest->session("beside").signal, SIGKILL);
    co_await guest->power_off();
  });
}

TEST(TetherVm, F27RandomNumbersAreThereAtOnce) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main("head -c 16 /dev/random | wc -c; " + kIdle);
    co_await guest->wait_output("main", "random bytes", says("16"));
    co_await guest->power_off();
  });
}

Task<> echo_lines(link::ssh::Channel& channel, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string line = std::to_string(i) + "\n";
    co_await channel.write_all(line);
    std::string echoed(line.size(), '\0');
    for (std::size_t at = 0; at < echoed.size();) {
      const std::size_t n = co_await channel.read_some(echoed.data() + at, echoed.size() - at);
      if (n == 0) throw Error(Code::unavailable, "the session ended");
      at += n;
    }
    EXPECT_EQ(echoed, line);
  }
}

// Nothing else happens in this machine that would wake what missed its bytes.
TEST(TetherVm, D1EachOfManyLinesComesBackBeforeTheNext) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    const std::vector<std::string> cat{"/bin/cat"};
    const auto channel = co_await guest->exec_attached("cat", cat);
    Task<> lines = echo_lines(*channel, 4000);
    co_await with_deadline(Milliseconds(120'000), "the echo of the lines", std::move(lines));
    co_await guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
