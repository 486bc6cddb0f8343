#include "tether/configuration.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether {
namespace {

TEST(ProcessPlanOfAConfiguration, TakesTheProgramOrTheFirstArgument) {
  config::SessionConfig session;
  session.cmd.path = "/bin/sh";
  session.cmd.args = {"-sh", "-c", "true"};
  EXPECT_EQ(make_process_plan(session, "pod").program, "/bin/sh");
  EXPECT_EQ(make_process_plan(session, "pod").arguments.front(), "-sh");
  session.cmd.path.clear();
  EXPECT_EQ(make_process_plan(session, "pod").program, "-sh");
  session.cmd = {"/bin/true", {}, {}, ""};
  EXPECT_EQ(make_process_plan(session, "pod").arguments, std::vector<std::string>{"/bin/true"});
}

TEST(ProcessPlanOfAConfiguration, RefusesWhatNoProcessCanBe) {
  config::SessionConfig session;
  session.cmd.args = {std::string("a\0b", 3)};
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.cmd.args = {"a"};
  session.capabilities = {"FLY"};
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
}

TEST(ProcessPlanOfAConfiguration, ClampsTheWindow) {
  config::SessionConfig session;
  session.window_columns = 100000;
  session.window_rows = -3;
  EXPECT_EQ(make_process_plan(session, "pod").window.columns, 65535);
  EXPECT_EQ(make_process_plan(session, "pod").window.rows, 0);
}

TEST(Limits, ZeroIsNoneAndNegativeIsRefused) {
  EXPECT_EQ(make_limits({}), CgroupLimits());
  const CgroupLimits limits = make_limits({1 << 20, 7, 1'500'000'000});
  EXPECT_EQ(limits.memory_bytes, 1u << 20);
  EXPECT_EQ(limits.processes, 7u);
  EXPECT_EQ(limits.cpu_nanoseconds, 1'500'000'000u);
  EXPECT_THROW(make_limits({-1, 0, 0}), Error);
}

TEST(Hostname, IsTheConfiguredOneOrTheShortId) {
  config::ExecutorConfig config;
  config.common.id = "a1b2c3d4e5f6a1b2c3d4e5f6";
  EXPECT_EQ(full_hostname(config), "a1b2c3d4e5f6");
  config.hostname = "h";
  EXPECT_EQ(full_hostname(config), "h");
  config.domainname = "d.e";
  EXPECT_EQ(full_hostname(config), "h.d.e");
}

TEST(Status, IsToldOnceASessionHasEnded) {
  SessionStatus status;
  status.started = "true";
  status.start_time = std::chrono::seconds(10);
  status.stop_time = std::chrono::seconds(12);
  status.exit = {0, 9, false};
  config::SessionConfig session;
  record_status(status, session);
  EXPECT_EQ(session.started, "true");
  EXPECT_EQ(session.detail.start_time, 10);
  EXPECT_EQ(session.detail.stop_time, 0);
  status.ended = true;
  record_status(status, session);
  EXPECT_EQ(session.detail.stop_time, 12);
  EXPECT_EQ(session.signal, 9);
}

TEST(WritablePairs, HoldOnlyWhatTheGuestMayWrite) {
  config::ExecutorConfig config;
  config.sessions["main"].started = "true";
  const auto pairs = writable_pairs(config);
  EXPECT_FALSE(pairs.empty());
  for (const auto& [key, value] : pairs) EXPECT_TRUE(extraconfig::guest_writable(key)) << key;
}

}  // namespace
}  // namespace berth::tether
