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
  session.capabilities = std::vector<std::string>{"FLY"};
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.capabilities.reset();
  EXPECT_NO_THROW(make_process_plan(session, "pod"));
  session.sysctls = {{"kernel.panic", "1"}};
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.sysctls.clear();
  session.ulimits = {{"files", 1, 1}};
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.ulimits.clear();
  session.oom_score_adj = 1001;
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.oom_score_adj = 0;
  session.stop_signal = "NOPE";
  EXPECT_THROW(make_process_plan(session, "pod"), Error);
  session.stop_signal = "RTMIN+3";
  EXPECT_NO_THROW(make_process_plan(session, "pod"));
}

TEST(ProcessPlanOfAConfiguration, ConfinesAsTold) {
  config::SessionConfig session;
  session.cmd.args = {"a"};
  EXPECT_EQ(make_process_plan(session, "pod").capabilities, config::default_capabilities());
  EXPECT_EQ(make_process_plan(session, "pod").container.shared_memory, 64u << 20);
  session.capabilities.emplace();
  session.seccomp_unconfined = true;
  session.shm_size = 1 << 20;
  session.ulimits = {{"nofile", 1024, -1}};
  const ProcessPlan plan = make_process_plan(session, "pod");
  EXPECT_EQ(plan.capabilities, 0u);
  EXPECT_FALSE(plan.seccomp);
  EXPECT_EQ(plan.container.shared_memory, 1u << 20);
  ASSERT_EQ(plan.limits.size(), 1u);
  EXPECT_EQ(plan.limits[0].soft, 1024u);
  EXPECT_EQ(plan.limits[0].hard, UINT64_MAX);
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

TEST(DiskLimits, WritingIsLimitedWhereItIsWritten) {
  config::IoLimit limit;
  limit.path = "/";
  limit.read_bps = 1 << 20;
  limit.write_iops = 100;
  const std::vector<DiskLimit> limits = make_disk_limits(limit, {7, 8});
  ASSERT_EQ(limits.size(), 2u);
  EXPECT_EQ(limits[0].device, 7u);
  EXPECT_EQ(limits[0].read_bps, 1u << 20);
  EXPECT_EQ(limits[0].write_iops, 100u);
  EXPECT_FALSE(limits[0].write_bps || limits[0].read_iops);
  EXPECT_EQ(limits[1].device, 8u);
  EXPECT_EQ(limits[1].read_bps, 1u << 20);
  EXPECT_FALSE(limits[1].write_iops);
  EXPECT_THROW(make_disk_limits(limit, {}), Error);
  limit.write_bps = -1;
  EXPECT_THROW(make_disk_limits(limit, {7}), Error);
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
