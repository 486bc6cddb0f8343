#include <gtest/gtest.h>
#include <signal.h>

#include "launcher/launcher_test.hpp"

namespace berth::launcher {
namespace {

class PauseTest : public LauncherTest {
 protected:
  /// What it throws, or nothing.
  static Task<std::string> refusal(Task<> task) {
    try {
      co_await std::move(task);
    } catch (const Error& error) {
      co_return error.what();
    }
    co_return "";
  }
  static Task<> discard(Task<std::string> task) { co_await std::move(task); }

  /// Runs it beside the test; `done` when it has ended.
  void spawn(Task<> task, bool& done) {
    spawn_detached(loop_.get_executor(), "beside", [](Task<> inner, bool& flag) -> Task<> {
      co_await std::move(inner);
      flag = true;
    }(std::move(task), done));
  }
  static Task<> wait_for(std::function<bool()> condition) {
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    while (!condition() && std::chrono::steady_clock::now() < deadline) co_await sleep_for(Milliseconds(1));
    EXPECT_TRUE(condition());
  }
  record::Status status() const { return store_->get("test").host.status; }
};

TEST_F(PauseTest, AMachineStandsStillAndGoesOnWithItsClockSet) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await launcher_->pause();
    EXPECT_TRUE(guest_->paused());
    EXPECT_EQ(status(), record::Status::paused);
    EXPECT_EQ(tether.orders.back().verb, link::verb::freeze);
    clock_.advance(std::chrono::hours(1));
    co_await launcher_->unpause();
    EXPECT_FALSE(guest_->paused());
    EXPECT_EQ(status(), record::Status::running);
    EXPECT_EQ(tether.orders.back().verb, link::verb::thaw);
    EXPECT_EQ(tether.clock, clock_.now());
    co_await tether.end_session(4);
  };
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 4);
  EXPECT_EQ(status(), record::Status::exited);
}

TEST_F(PauseTest, WhatCannotBeDoneSaysSo) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    EXPECT_EQ(co_await refusal(launcher_->pause()), "container test is not running");
    co_await tether.start_session();
    EXPECT_EQ(co_await refusal(launcher_->unpause()), "container test is not paused");
    co_await launcher_->pause();
    const std::string paused = "container test is paused: unpause it first with `berth unpause test`";
    EXPECT_EQ(co_await refusal(launcher_->pause()), "container test is already paused");
    const ExecRequest exec{{"true"}, {}, {}, {}, false, false, 0, 0};
    EXPECT_EQ(co_await refusal(discard(launcher_->exec_detached(exec))), paused);
    const UpdateRequest update;
    EXPECT_EQ(co_await refusal(launcher_->update(update)), paused);
    EXPECT_EQ(co_await refusal(launcher_->wait_files()), paused);
    EXPECT_EQ(co_await refusal(launcher_->wait_started()), paused);
    const UsageReport usage = co_await launcher_->usage();
    EXPECT_EQ(usage.guest.processes, 3u);
    co_await launcher_->unpause();
    co_await tether.end_session(0);
  };
  make_launcher();
  run();
}

TEST_F(PauseTest, AStopLetsAPausedContainerGoOnFirst) {
  bool stopped = false;
  script_ = [&, this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await launcher_->pause();
    spawn(launcher_->stop(kLimit), stopped);
    co_await wait_for([&] { return tether.count(link::verb::signal) == 1; });
    EXPECT_FALSE(guest_->paused());
    EXPECT_EQ(tether.orders.back().signal, SIGTERM);
    EXPECT_EQ(tether.count(link::verb::thaw), 1u);
    co_await tether.end_session(0, SIGTERM);
  };
  make_launcher();
  run();
  loop_.restart();
  loop_.poll();
  EXPECT_TRUE(stopped);
  EXPECT_EQ(store_->get("test").host.exit_code, 128 + SIGTERM);
}

TEST_F(PauseTest, ASignalThatDoesNotEndItWaits) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await launcher_->pause();
    co_await launcher_->kill(SIGUSR1);
    co_await launcher_->kill(SIGUSR1);
    co_await launcher_->kill(SIGUSR2);
    EXPECT_TRUE(guest_->paused());
    co_await launcher_->unpause();
    EXPECT_EQ(tether.count(link::verb::signal), 2u);
    co_await launcher_->pause();
    co_await launcher_->kill(SIGINT);
    EXPECT_FALSE(guest_->paused());
    EXPECT_EQ(tether.orders.back().signal, SIGINT);
    EXPECT_EQ(status(), record::Status::running);
    co_await tether.end_session(0);
  };
  pod_.session().stop_signal = "SIGINT";
  make_launcher();
  run();
}

TEST_F(PauseTest, NothingThatIsAskedOfTheGuestIsCutOffByAPause) {
  bool killed = false;
  bool paused = false;
  script_ = [&, this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    tether.ignored_verb = link::verb::signal;
    spawn(launcher_->kill(SIGUSR1), killed);
    co_await wait_for([&] { return tether.count(link::verb::signal) == 1; });
    spawn(launcher_->pause(), paused);
    co_await sleep_for(Milliseconds(50));
    EXPECT_FALSE(guest_->paused());
    EXPECT_EQ(tether.count(link::verb::freeze), 0u);
    tether.ignored_verb.clear();
    co_await wait_for([&] { return paused; });
    EXPECT_TRUE(killed);
    EXPECT_TRUE(guest_->paused());
    co_await launcher_->unpause();
    co_await tether.end_session(0);
  };
  pod_.session().stop_signal = "SIGINT";
  make_launcher();
  run();
}

TEST_F(PauseTest, AnEndOnTheWayIntoAPauseIsAnEnd) {
  std::string said;
  script_ = [&, this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    tether.ignored_verb = link::verb::freeze;
    bool done = false;
    const auto ask = [this](std::string& answer) -> Task<> { answer = co_await refusal(launcher_->pause()); };
    spawn(ask(said), done);
    co_await wait_for([&] { return tether.count(link::verb::freeze) == 1; });
    co_await tether.end_session(5);
    tether.ignored_verb.clear();
    co_await wait_for([&] { return done; });
  };
  make_launcher();
  attach_client();
  run();
  EXPECT_EQ(said, "container test is not running");
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 5);
  EXPECT_EQ(store_->get("test").host.exit_code, 5);
}

TEST_F(PauseTest, APausedMachineThatIsKilledIsRecorded) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    co_await tether.start_session();
    co_await launcher_->pause();
    guest_->fail("killed");
  };
  make_launcher();
  attach_client();
  run();
  ASSERT_TRUE(client_exit_);
  EXPECT_EQ(client_exit_->code, 125);
  EXPECT_EQ(status(), record::Status::exited);
}

TEST_F(PauseTest, TheClockIsLookedAtAgainAndAgain) {
  script_ = [this](ScriptedTether& tether) -> Task<> {
    for (const Nanoseconds wrong :
         {Nanoseconds(std::chrono::hours(-1)), Nanoseconds(std::chrono::seconds(3))}) {
      tether.clock = clock_.now() + wrong;
      if (wrong < Nanoseconds(0)) co_await tether.start_session();
      co_await wait_for([&] { return tether.clock == clock_.now(); });
    }
    // A paused guest is left alone.
    co_await launcher_->pause();
    const std::size_t looks = tether.orders.size();
    co_await sleep_for(Milliseconds(50));
    EXPECT_EQ(tether.orders.size(), looks);
    co_await launcher_->unpause();
    co_await wait_for([&] { return tether.orders.back().verb == link::verb::clock; });
    co_await tether.end_session(0);
  };
  clock_.advance(std::chrono::hours(24 * 365));
  clock_period_ = Milliseconds(5);
  make_launcher();
  run();
}

}  // namespace
}  // namespace berth::launcher
