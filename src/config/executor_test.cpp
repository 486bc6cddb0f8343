#include "config/executor.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"

namespace berth::config {
namespace {

ExecutorConfig sample() {
  ExecutorConfig config;
  config.common = {"linux", "4fbcd2", "web", "first"};
  config.create_time = 1498000123;
  config.diagnostics.exit_logs = {{{1497957133, 140000000, 0, "UTC"}, 137, "killed"}};
  config.diagnostics.syslog = SysLogConfig{"udp", "10.0.0.9:514"};
  SessionConfig& session = config.sessions["4fbcd2"];
  session.common = {"", "4fbcd2", "web", "not for the guest"};
  session.cmd = {"/bin/sh", {"/bin/sh", "-c", "dmesg | grep vmx"}, {"PATH=/bin", "EMPTY="}, "/"};
  session.user = "nobody";
  session.started = "true";
  session.capabilities = std::vector<std::string>{"CAP_CHOWN", "CAP_KILL"};
  session.resources = {64 << 20, 100, 1'500'000'000};
  session.ulimits = {{"nofile", 1024, -1}, {"core", 0, 0}};
  session.sysctls = {{"net.ipv4.ip_forward", "1"}, {"net.ipv4.ip_local_port_range", "1024 65000"}};
  config.execs["e1"].cmd.path = "/bin/id";
  MountSpec& mount = config.mounts["my.volume"];
  mount.source.scheme = "label";
  mount.source.user = UserInfo{"u", "p"};
  mount.path = "/data";
  mount.copy_mode = CopyMode::fresh;
  NetworkEndpoint& endpoint = config.networks["bridge"];
  endpoint.ip = IpNetwork::parse("172.16.0.2/16");
  endpoint.network.nameservers = {IpAddress::parse("10.0.0.1"), IpAddress::parse("fe80::1")};
  endpoint.network.pools = {{IpAddress::parse("10.0.0.5"), IpAddress::parse("10.0.0.9")}};
  endpoint.network.trust_level = TrustLevel::outbound;
  endpoint.network.mtu = 1400;
  endpoint.ports = {"8080:80/tcp"};
  config.key.data = "PEM";
  config.annotations = {{"a|b", "1"}, {"", "2"}, {"docker.labels", "{}"}};
  config.version = Build{"v1", "", "", "", "", 11};
  config.extra_hosts = {{"db", "10.0.0.3"}};
  config.dns_search = {"example.org"};
  config.dns_options = {"ndots:2", "rotate"};
  config.time = std::chrono::nanoseconds(1700000000123456789);
  config.entropy.data = std::string("\0\1\xff", 3);
  return config;
}

TEST(Executor, ReadsWhatItWrote) {
  const ExecutorConfig config = sample();
  const extraconfig::Pairs pairs = extraconfig::encode(config);
  EXPECT_EQ(pairs.at("guestinfo.vice./sessions|4fbcd2/cmd/Path"), "/bin/sh");
  EXPECT_EQ(pairs.at("guestinfo.vice..sessions|4fbcd2.started"), "true");
  EXPECT_EQ(pairs.at("common/name"), "web");
  EXPECT_EQ(pairs.at("guestinfo.vice./networks|bridge/network/TrustLevel"), "4");

  ExecutorConfig again;
  extraconfig::decode(pairs, again);
  EXPECT_EQ(again, config);
}

TEST(Executor, NoCapabilitiesAreNotTheDefaultOnes) {
  SessionConfig session;
  session.capabilities.emplace();
  SessionConfig again;
  extraconfig::decode(extraconfig::encode(session), again);
  ASSERT_TRUE(again.capabilities);
  EXPECT_TRUE(again.capabilities->empty());
  SessionConfig before;
  extraconfig::decode(extraconfig::encode(SessionConfig()), before);
  EXPECT_FALSE(before.capabilities);
}

TEST(Executor, GuestSeesItsPart) {
  ExecutorConfig config = sample();
  const extraconfig::Pairs visible =
      extraconfig::filter(extraconfig::encode(config), extraconfig::kGuestScopes);
  for (const auto& pair : visible) EXPECT_TRUE(extraconfig::guest_visible(pair.first));

  ExecutorConfig guest;
  extraconfig::decode(visible, guest);
  config.common.name.clear();
  config.common.notes.clear();
  config.annotations.clear();
  config.sessions["4fbcd2"].common.notes.clear();
  EXPECT_EQ(guest, config);
}

TEST(Executor, OnlyWritableKeysTravelUp) {
  ExecutorConfig host = sample();
  extraconfig::Pairs record = extraconfig::encode(host);

  ExecutorConfig guest;
  extraconfig::decode(extraconfig::filter(record, extraconfig::kGuestScopes), guest);
  const extraconfig::Pairs before = extraconfig::encode(guest);
  SessionConfig& session = guest.sessions["4fbcd2"];
  session.exit_status = 3;
  session.signal = 9;
  session.detail.stop_time = 77;
  session.cmd.path = "/evil";
  extraconfig::Difference up = extraconfig::diff(before, extraconfig::encode(guest));
  std::erase_if(up.changed, [](const auto& pair) { return !extraconfig::guest_writable(pair.first); });
  EXPECT_EQ(up.changed.size(), 3u);

  extraconfig::apply(up, record);
  extraconfig::decode(record, host, {}, extraconfig::Absent::reset);
  ExecutorConfig expected = sample();
  expected.sessions["4fbcd2"].exit_status = 3;
  expected.sessions["4fbcd2"].signal = 9;
  expected.sessions["4fbcd2"].detail.stop_time = 77;
  EXPECT_EQ(host, expected);
}

TEST(Executor, BothSpellingsOfUserAreRead) {
  SessionConfig session;
  extraconfig::decode(extraconfig::Pairs{{"guestinfo.vice./user", "a"}, {"guestinfo.vice./Group", "b"}},
                      session);
  EXPECT_EQ(session.user, "a");
  EXPECT_EQ(session.group, "b");
}

TEST(Executor, RemovedPartsAreGone) {
  ExecutorConfig config = sample();
  extraconfig::Pairs stored = extraconfig::encode(config);
  ExecutorConfig live = config;

  config.execs.clear();
  config.sessions["4fbcd2"].cmd.env.clear();
  config.networks["bridge"].ip.reset();
  const extraconfig::Difference difference = extraconfig::update(config, stored);
  EXPECT_FALSE(difference.removed.empty());
  EXPECT_EQ(stored, extraconfig::encode(config));
  extraconfig::decode(stored, live, {}, extraconfig::Absent::reset);
  EXPECT_EQ(live, config);
}

TEST(Executor, DamageLeavesTheValue) {
  ExecutorConfig config = sample();
  extraconfig::Pairs pairs = extraconfig::encode(config);
  pairs["guestinfo.vice..sessions|4fbcd2.status"] = "12x";
  pairs["guestinfo.vice./sessions|4fbcd2/cmd/Path"] = "/changed";
  try {
    extraconfig::decode(pairs, config);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::corrupt);
    EXPECT_NE(error.message().find("guestinfo.vice..sessions|4fbcd2.status"), std::string::npos);
  }
  EXPECT_EQ(config, sample());
}

}  // namespace
}  // namespace berth::config
