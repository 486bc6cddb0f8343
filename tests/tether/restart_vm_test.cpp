// How sessions end by their stop signal, and are started again.

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

Task<std::unique_ptr<Guest>> boot_with_main(std::string script,
                                            std::function<void(config::SessionConfig&)> adjust) {
  const Guest::Options options;
  auto guest = co_await Guest::boot(options);
  config::SessionConfig main = make_session(shell(script));
  if (adjust) adjust(main);
  guest->config.sessions["main"] = std::move(main);
  co_await guest->push();
  co_return guest;
}

bool is_over(const config::SessionConfig& session) {
  return session.detail.stop_time != 0 && !session.restarting;
}

std::chrono::nanoseconds time_of(const config::ExitLog& log) {
  return std::chrono::seconds(log.time.seconds) + std::chrono::nanoseconds(log.time.nanoseconds);
}

TEST(TetherVm, B13ASessionThatFailsIsStartedAgainAndWaitsLongerEachTime) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main("echo run; exit 3", [](config::SessionConfig& main) {
      main.restart = true;
      main.restart_on_failure = true;
      main.restart_limit = 3;
    });
    co_await guest->wait_session("main", "end of its restarts", is_over);
    const config::Diagnostics& diagnostics = guest->session("main").diagnostics;
    EXPECT_EQ(diagnostics.resurrection_count, 3);
    const auto& logs = diagnostics.exit_logs;
    EXPECT_EQ(logs.size(), 4u);
    Milliseconds wait{100};
    for (std::size_t i = 1; i < logs.size(); ++i, wait *= 2) {
      EXPECT_EQ(logs[i].exit_status, 3);
      EXPECT_GE(time_of(logs[i]) - time_of(logs[i - 1]), wait);
    }
    co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(guest->output("main").standard_output, "run\n");
    co_await guest->power_off();
  });
}

TEST(TetherVm, B7RestartsEndWithTheConfigurationThatSaysSo) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(kIdle, [](config::SessionConfig& main) { main.restart = true; });
    co_await guest->wait_started("main");
    link::Order kill = order_for_main(link::verb::signal);
    kill.signal = 9;
    co_await guest->order(kill);
    co_await guest->wait_session("main", "runs again", [](const config::SessionConfig& main) {
      return main.diagnostics.resurrection_count == 1 && main.detail.stop_time == 0;
    });
    const config::ExitLog log = guest->session("main").diagnostics.exit_logs.at(0);
    EXPECT_EQ(log.exit_status, 137);
    EXPECT_EQ(log.message, "ended by SIGKILL");
    const auto session = co_await guest->exec("after", shell("exit 5"));
    EXPECT_EQ(session.exit_status, 5);
    guest->config.sessions["main"].active = false;
    co_await guest->push();
    co_await guest->wait_session("main", "end", is_over);
    EXPECT_EQ(guest->session("main").exit_status + guest->session("main").signal, 0);

    // While it waits for its restart.
    auto& main = guest->config.sessions["main"];
    main.active = true;
    main.cmd = make_session(shell("exit 1")).cmd;
    co_await guest->push();
    const link::Order start = order_for_main(link::verb::start);
    co_await guest->order(start);
    co_await guest->wait_session("main", "restarts", [](const config::SessionConfig& now) {
      return now.restarting && now.diagnostics.resurrection_count >= 3;
    });
    guest->config.sessions["main"].restart = false;
    co_await guest->push();
    co_await guest->wait_session("main", "no more restarts", is_over);
    EXPECT_EQ(guest->session("main").exit_status, 1);
    co_await guest->power_off();
  });
}

TEST(TetherVm, B3B4StopSignalsHaveAnyNameOfLinux) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(kIdle, nullptr);
    co_await guest->wait_started("main");
    struct Signal {
      std::string name;
      std::string trapped;
    };
    const Signal signals[] = {{"SIGWINCH", "WINCH"}, {"RTMIN+3", "37"}, {"37", "37"}, {"sigquit", "QUIT"}};
    for (const Signal& signal : signals) {
      const std::string id = "trap-" + signal.name.substr(0, 5);
      config::SessionConfig session =
          make_session(shell("trap 'exit 5' " + signal.trapped + "; echo ready; sleep 100000 & wait"));
      session.container = "main";
      session.stop_signal = signal.name;
      guest->config.execs[id] = session;
      co_await guest->push();
      co_await guest->wait_output(
          id, "ready", [](const SessionOutput& output) { return output.standard_output == "ready\n"; });
      guest->config.execs[id].active = false;
      co_await guest->push();
      co_await guest->wait_ended(id);
      EXPECT_EQ(guest->session(id).exit_status, 5) << signal.name;
    }
    const auto refused = co_await guest->exec(
        "nope", shell("true"), [](config::SessionConfig& session) { session.stop_signal = "NOPE"; });
    EXPECT_TRUE(refused.started.starts_with("invalid-argument: ")) << refused.started;
    co_await guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
