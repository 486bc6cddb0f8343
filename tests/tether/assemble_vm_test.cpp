#include <gtest/gtest.h>

#include "guest.hpp"

/// A guest that has made the container's root before it knows for whom, as that of an image's template.
namespace berth::tether_test {
namespace {

/// All that a container may find out about how it was started.
const std::string kFacts = R"(
  cd /etc; cat /data/deep/file hostname hosts resolv.conf machine-id
  stat -c '%A %u:%g %n' * /* /dev/* /run/* 2>/dev/null
  cat /proc/mounts /proc/self/cgroup /proc/self/oom_score_adj /proc/sys/kernel/hostname /proc/sys/kernel/domainname
  grep -E '^(Umask|Tgid|Pid|PPid|NSpid|NSsid|Uid|Gid|Groups|Sig|Cap|NoNew|Seccomp)' /proc/self/status
  ls /sys/fs/cgroup /proc | grep -v '^[0-9]'; cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/pids.max
  for fd in /proc/self/fd/* /proc/1/fd/*; do echo $fd; readlink $fd | sed 's/[0-9]*]/]/; s/[0-9]*.fd//'; done
  ulimit -a; env | sort; id; tty; ipcs 2>/dev/null | grep -c .; ps -o pid,ppid,pgid,sid,args | grep -v ps
  echo own > /own && cat /own; echo x > /proc/sys/kernel/hostname || echo read-only)";

Task<std::string> facts(bool is_assembled, std::function<void(config::SessionConfig&)> adjust = {}) {
  const Guest::Options options;
  auto guest = co_await Guest::boot(options);
  link::Order assemble;
  assemble.verb = link::verb::assemble;
  for (int times = 0; is_assembled && times < 2; ++times) co_await guest->order(assemble);
  guest->config.hostname = "pod";
  guest->config.sessions["main"] = make_session(shell(kFacts));
  if (adjust) adjust(guest->config.sessions["main"]);
  co_await guest->push();
  co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
  const auto end = co_await guest->power_off();
  EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off) << end.describe();
  co_return guest->output("main").standard_output + guest->output("main").standard_error;
}

TEST(TetherVm, MayHaveItsRootBeforeItsConfiguration) {
  run_on_loop([]() -> Task<> {
    const std::string expected = co_await facts(false);
    EXPECT_NE(expected.find("of-the-image"), std::string::npos) << expected;
    EXPECT_NE(expected.find("127.0.1.1\tpod"), std::string::npos) << expected;
    EXPECT_EQ(co_await facts(true), expected);
  });
}

// The process that waits in the root becomes the one, or goes when it cannot.
TEST(TetherVm, AContainerIsTheSameWhoeverPreparedIt) {
  const std::pair<const char*, std::function<void(config::SessionConfig&)>> kinds[] = {
      {"a user, limits and no network calls",
       [](config::SessionConfig& session) {
         session.user = "user";
         session.cmd.dir = "/home/user/new";
         session.cmd.env = {"A=1", "B=" + std::string(30'000, 'b')};
         session.oom_score_adj = 5;
         session.sysctls = {};
       }},
      {"an init, and a root for reading alone",
       [](config::SessionConfig& session) {
         session.init = true;
         session.read_only_root = true;
       }},
      {"memory to share of its own size", [](config::SessionConfig& session) { session.shm_size = 1 << 20; }},
      {"a plan that is too long for the channel",
       [](config::SessionConfig& session) {
         for (int i = 0; i < 4; ++i)
           session.cmd.env.push_back(fmt::format("C{}={}", i, std::string(50'000, 'c')));
       }},
  };
  for (const auto& [what, adjust] : kinds) {
    SCOPED_TRACE(what);
    run_on_loop([&]() -> Task<> {
      const std::string expected = co_await facts(false, adjust);
      EXPECT_NE(expected.find("from the image"), std::string::npos) << expected;
      EXPECT_EQ(co_await facts(true, adjust), expected);
    });
  }
}

}  // namespace
}  // namespace berth::tether_test
