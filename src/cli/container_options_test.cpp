#include "cli/container_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.hpp"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

/// What `berth run ARGUMENTS` asks the engine for.
engine::CreateOptions request(const Arguments& arguments) {
  ContainerOptions options;
  Parser parser("berth run", "", "");
  declare(options, parser);
  if (parser.parse(arguments, 125)) throw Error(Code::invalid_argument, "usage");
  return parse(options);
}

/// As far as it goes before an image is looked for.
void check(const Arguments& arguments) {
  engine::check_options(request(arguments));
}

TEST(ContainerOptions, AnImageAloneMeansTheDefaults) {
  ::unsetenv("BERTH_ACCEL");
  const engine::CreateOptions options = request({"busybox"});
  EXPECT_EQ(options.image, "busybox");
  EXPECT_THAT(options.command, IsEmpty());
  EXPECT_FALSE(options.entrypoint);
  EXPECT_EQ(options.network, "user");
  EXPECT_EQ(options.accelerator, "auto");
  EXPECT_EQ(options.memory_bytes, 0u);
  EXPECT_EQ(options.pids_limit, 0);
}

TEST(ContainerOptions, EveryOptionArrives) {
  const engine::CreateOptions options =
      request({"-it",     "--rm",       "--name",  "n",   "-e",          "A=1",           "-w",
               "/w",      "-u",         "1:2",     "-p",  "8080:80",     "--cpus",        "1.5",
               "-m",      "512m",       "-h",      "box", "--network",   "none",          "--read-only",
               "--tmpfs", "/t:size=1m", "--tmpfs", "/u",  "--init",      "--stop-signal", "INT",
               "-l",      "a=b=c",      "--label", "d",   "--accel=tcg", "--entrypoint",  "/e",
               "image",   "--rm",       "-x"});
  EXPECT_TRUE(options.tty && options.open_stdin && options.auto_remove && options.read_only && options.init);
  EXPECT_EQ(options.name, "n");
  EXPECT_THAT(options.environment, ElementsAre("A=1"));
  EXPECT_EQ(options.working_directory, "/w");
  EXPECT_EQ(options.user, "1:2");
  ASSERT_EQ(options.ports.size(), 1u);
  EXPECT_EQ(options.ports[0].host_port, 8080);
  EXPECT_EQ(options.cpus, 1.5);
  EXPECT_EQ(options.memory_bytes, 512u << 20);
  EXPECT_EQ(options.hostname, "box");
  EXPECT_EQ(options.network, "none");
  EXPECT_THAT(options.tmpfs, ElementsAre(Pair("/t", "size=1m"), Pair("/u", "")));
  EXPECT_EQ(options.stop_signal, "INT");
  EXPECT_THAT(options.labels, ElementsAre(Pair("a", "b=c"), Pair("d", "")));
  EXPECT_EQ(options.accelerator, "tcg");
  EXPECT_THAT(*options.entrypoint, ElementsAre("/e"));
  EXPECT_EQ(options.image, "image");
  EXPECT_THAT(options.command, ElementsAre("--rm", "-x"));
}

TEST(ContainerOptions, ALimitOfProcessesMayBeNone) {
  EXPECT_EQ(request({"--pids-limit", "100", "image"}).pids_limit, 100);
  EXPECT_EQ(request({"--pids-limit=-1", "image"}).pids_limit, -1);
}

TEST(ContainerOptions, ConfinementArrives) {
  const engine::CreateOptions options =
      request({"--ulimit", "nofile=10", "--ulimit", "core=0", "--ulimit", "nofile=20:30", "--sysctl",
               "net.ipv4.ip_forward=1", "--shm-size", "1m", "--cap-add", "net_admin", "--cap-drop=ALL",
               "--security-opt", "no-new-privileges", "--group-add", "audio", "--oom-score-adj=-5", "image"});
  EXPECT_THAT(options.ulimits, ElementsAre(config::Ulimit{"core", 0, 0}, config::Ulimit{"nofile", 20, 30}));
  EXPECT_THAT(options.sysctls, ElementsAre(Pair("net.ipv4.ip_forward", "1")));
  EXPECT_EQ(options.shm_bytes, 1u << 20);
  EXPECT_THAT(options.cap_add, ElementsAre("net_admin"));
  EXPECT_THAT(options.cap_drop, ElementsAre("ALL"));
  EXPECT_THAT(options.security_options, ElementsAre("no-new-privileges"));
  EXPECT_THAT(options.group_add, ElementsAre("audio"));
  EXPECT_EQ(options.oom_score_adj, -5);
}

TEST(ContainerOptions, LimitsOfADiskComeTogether) {
  const engine::CreateOptions options = request(
      {"--device-read-bps", "/:1mb", "--device-write-iops=//:20", "--device-write-bps", "/data/:2k",
       "--device-read-iops", "/data:7", "--device-read-iops", "/data:8", "-v", "data:/data", "image"});
  EXPECT_THAT(options.io_limits, UnorderedElementsAre(config::IoLimit{"/", 1 << 20, 0, 0, 20},
                                                      config::IoLimit{"/data", 0, 2048, 8, 0}));
}

TEST(ContainerOptions, RestartPolicies) {
  EXPECT_EQ(request({"image"}).restart.name, "no");
  EXPECT_EQ(request({"--restart", "no", "--rm", "image"}).restart.name, "no");
  EXPECT_EQ(request({"--restart", "unless-stopped", "image"}).restart.name, "unless-stopped");
  EXPECT_EQ(request({"--restart=on-failure", "image"}).restart.retries, 0);
  EXPECT_EQ(request({"--restart=on-failure:5", "image"}).restart.retries, 5);
  EXPECT_THROW(check({"--restart", "always", "--rm", "image"}), Error);
}

TEST(ContainerOptions, AnEmptyEntrypointDropsTheImages) {
  EXPECT_THAT(*request({"--entrypoint=", "image", "sh"}).entrypoint, IsEmpty());
  EXPECT_THAT(*request({"--entrypoint", "", "image", "sh"}).entrypoint, IsEmpty());
}

TEST(ContainerOptions, TheEnvironmentChoosesTheAccelerator) {
  ::setenv("BERTH_ACCEL", "tcg", 1);
  EXPECT_EQ(request({"image"}).accelerator, "tcg");
  EXPECT_EQ(request({"--accel", "kvm", "image"}).accelerator, "kvm");
  ::setenv("BERTH_ACCEL", "fast", 1);
  EXPECT_THROW(request({"image"}), Error);
  ::unsetenv("BERTH_ACCEL");
}

TEST(ContainerOptions, RefusesWhatCannotBe) {
  const std::vector<Arguments> lines = {{"--cpus", "0", "i"},
                                        {"--cpus", "many", "i"},
                                        {"--cpus", "1e9", "i"},
                                        {"-m", "lots", "i"},
                                        {"--pids-limit", "-2", "i"},
                                        {"--pids-limit", "x", "i"},
                                        {"--restart", "sometimes", "i"},
                                        {"--restart", "always:2", "i"},
                                        {"--restart", "on-failure:", "i"},
                                        {"--restart", "on-failure:-1", "i"},
                                        {"--ulimit", "nofile=2:1", "i"},
                                        {"--sysctl", "vm.swappiness=1", "i"},
                                        {"--sysctl", "net.core.somaxconn", "i"},
                                        {"--shm-size", "much", "i"},
                                        {"--device-read-bps", "/", "i"},
                                        {"--device-read-bps", "/:0", "i"},
                                        {"--device-read-bps", "/dev/sda:1m", "i"},
                                        {"--device-write-bps", "data:1m", "i"},
                                        {"--device-read-iops", "/:1k", "i"},
                                        {"--device-write-iops", "/:0", "i"},
                                        {"--cap-add", "FLY", "i"},
                                        {"--cap-drop", "FLY", "i"},
                                        {"--oom-score-adj", "1001", "i"},
                                        {"--network", "host", "i"},
                                        {"-w", "relative", "i"},
                                        {"--tmpfs", "relative", "i"},
                                        {"--stop-signal", "NOPE", "i"},
                                        {"--label", "=v", "i"},
                                        {"--pull", "maybe", "i"},
                                        {"-p", "[::1]:80:80", "i"},
                                        {"-p", "x", "i"},
                                        {"--env-file", "/nonexistent", "i"},
                                        {"-e", "=v", "i"}};
  for (const Arguments& line : lines) EXPECT_THROW(check(line), Error) << line[0] << " " << line[1];
}

TEST(ContainerOptions, NamesForTheResolver) {
  const engine::CreateOptions options =
      request({"--add-host", "db:10.0.0.3", "--add-host=db:fd00::3", "--add-host", "six=[fd00::6]",
               "--add-host", "outside:host-gateway", "--dns", "9.9.9.9", "--dns", "2620:fe::fe",
               "--dns-search", "example.org", "--dns-search", ".", "--dns-option", "ndots:2", "image"});
  EXPECT_THAT(options.extra_hosts, ElementsAre(Pair("db", "10.0.0.3 fd00::3"), Pair("outside", "10.0.2.2"),
                                               Pair("six", "fd00::6")));
  EXPECT_THAT(options.dns, ElementsAre("9.9.9.9", "2620:fe::fe"));
  EXPECT_THAT(options.dns_search, ElementsAre("example.org"));
  EXPECT_THAT(options.dns_options, ElementsAre("ndots:2"));
  for (const char* bad :
       {"--add-host=db", "--add-host=:10.0.0.1", "--add-host=a b:10.0.0.1", "--add-host=db:host",
        "--dns=localhost", "--dns=", "--dns-search=a b", "--dns-option=x\ny"}) {
    EXPECT_THROW(check({bad, "image"}), Error) << bad;
  }
}

}  // namespace
}  // namespace berth::cli
