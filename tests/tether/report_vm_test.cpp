#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"

/// How often the host hears of what has happened.
namespace berth::tether_test {
namespace {

/// The key of the main session that says when it ended.
std::string stop_time_key() {
  config::ExecutorConfig before;
  before.sessions["main"] = {};
  config::ExecutorConfig after = before;
  after.sessions["main"].detail.stop_time = 1;
  return extraconfig::diff(extraconfig::encode(before), extraconfig::encode(after)).changed.begin()->first;
}

TEST(TetherVm, G10TheFinalStateIsToldOnceToAHostThatWasAway) {
  run_on_loop([]() -> Task<> {
    const Guest::Options options;
    auto guest = co_await Guest::boot(options);
    const std::string key = stop_time_key();
    Event back(co_await asio::this_coro::executor);
    bool away = true;
    int told = 0;
    guest->on_report = [&](const extraconfig::Pairs& changed) -> Task<> {
      const auto time = changed.find(key);
      if (time == changed.end() || time->second == "0") co_return;
      ++told;
      while (away) co_await back.wait();
    };
    guest->config.sessions["main"] = make_session(shell("exit 3"));
    co_await guest->push();
    // The tether does not wait for its answer any longer.
    co_await guest->wait_change("the tether gives up", [&] {
      return guest->machine().console_tail().find("no answer on the control port") != std::string::npos;
    });
    away = false;
    back.notify_all();
    guest->config.hostname = "changed";
    co_await guest->push();
    EXPECT_EQ(guest->session("main").exit_status, 3);
    const hypervisor::MachineEnd end = co_await guest->power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off);
    EXPECT_EQ(told, 1);
  });
}

}  // namespace
}  // namespace berth::tether_test
