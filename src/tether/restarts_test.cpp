#include "tether/restarts.hpp"

#include <gtest/gtest.h>

namespace berth::tether {
namespace {

using std::chrono::seconds;

SessionStatus ended(int code, int signal = 0, seconds run_time = seconds(1)) {
  SessionStatus status;
  status.started = "true";
  status.ended = true;
  status.exit = {code, signal, false};
  status.start_time = seconds(1000);
  status.stop_time = status.start_time + run_time;
  return status;
}

config::SessionConfig always() {
  config::SessionConfig session;
  session.restart = true;
  return session;
}

TEST(Restarts, OnlyWithAPolicy) {
  Restarts restarts;
  config::SessionConfig session;
  EXPECT_FALSE(restarts.note_end(session, ended(1)));
  EXPECT_FALSE(restarts.waiting());
  restarts.record(session);
  EXPECT_FALSE(session.restarting);
  ASSERT_EQ(session.diagnostics.exit_logs.size(), 1u);
  EXPECT_EQ(session.diagnostics.exit_logs[0].exit_status, 1);
  EXPECT_EQ(session.diagnostics.exit_logs[0].time.seconds, 1001);
}

TEST(Restarts, WaitTwiceAsLongEachTimeUpToAMinute) {
  Restarts restarts;
  for (const int expected : {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000}) {
    EXPECT_EQ(restarts.note_end(always(), ended(0)), Milliseconds(expected));
    EXPECT_TRUE(restarts.waiting());
    restarts.note_start();
    EXPECT_FALSE(restarts.waiting());
  }
  EXPECT_EQ(restarts.note_end(always(), ended(0, 0, seconds(10))), Milliseconds(100));
  config::SessionConfig session;
  restarts.record(session);
  EXPECT_EQ(session.diagnostics.resurrection_count, 12);
  EXPECT_TRUE(session.restarting);
}

TEST(Restarts, AfterAFailureOnlyAndSoManyTimes) {
  config::SessionConfig session = always();
  session.restart_on_failure = true;
  session.restart_limit = 2;
  Restarts restarts;
  EXPECT_FALSE(restarts.note_end(session, ended(0)));
  EXPECT_TRUE(restarts.note_end(session, ended(3)));
  restarts.note_start();
  EXPECT_TRUE(restarts.note_end(session, ended(0, 9)));
  restarts.note_start();
  EXPECT_FALSE(restarts.note_end(session, ended(3))) << "twice is enough";
  restarts.record(session);
  EXPECT_EQ(session.diagnostics.resurrection_count, 2);
}

TEST(Restarts, NotOfWhatCannotBeStarted) {
  SessionStatus status;
  status.started = "not-found: no such file";
  status.ended = true;
  Restarts restarts;
  EXPECT_FALSE(restarts.note_end(always(), status));
  config::SessionConfig session;
  restarts.record(session);
  EXPECT_EQ(session.diagnostics.exit_logs.back().message, "not-found: no such file");
}

TEST(Restarts, GivenUpNoneIsCounted) {
  Restarts restarts;
  EXPECT_TRUE(restarts.note_end(always(), ended(0)));
  restarts.give_up();
  config::SessionConfig session;
  restarts.record(session);
  EXPECT_FALSE(session.restarting);
  EXPECT_EQ(session.diagnostics.resurrection_count, 0);
}

TEST(Restarts, LogsSayWhyAndAreBounded) {
  Restarts restarts;
  for (int i = 0; i < 100; ++i) restarts.note_end(always(), ended(i));
  SessionStatus killed = ended(0, 9);
  killed.oom_killed = true;
  restarts.note_end(always(), killed);
  restarts.note_end(always(), ended(0, 15));
  config::SessionConfig session;
  restarts.record(session);
  const auto& logs = session.diagnostics.exit_logs;
  ASSERT_EQ(logs.size(), 10u);
  EXPECT_EQ(logs[7].exit_status, 99);
  EXPECT_EQ(logs[8].exit_status, 137);
  EXPECT_EQ(logs[8].message, "out of memory");
  EXPECT_EQ(logs[9].message, "ended by SIGTERM");
}

}  // namespace
}  // namespace berth::tether
