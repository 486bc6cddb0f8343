#include "tether/firewall/policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tether/firewall/nftables.hpp"

namespace berth::tether::firewall {
namespace {

using config::IpAddress;
using config::TrustLevel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

config::NetworkEndpoint endpoint_of(TrustLevel level, const char* type = "external") {
  config::NetworkEndpoint endpoint;
  endpoint.is_static = true;
  endpoint.network.common.name = "net";
  endpoint.network.type = type;
  endpoint.network.trust_level = level;
  endpoint.network.pools = {{IpAddress::parse("10.1.1.5"), IpAddress::parse("10.1.1.77")}};
  endpoint.ports = {"80/tcp", "8080:80/tcp", "9000-9010/udp"};
  return endpoint;
}

CardPolicy policy_of(const std::vector<config::NetworkEndpoint>& endpoints) {
  std::vector<const config::NetworkEndpoint*> pointers;
  for (const auto& endpoint : endpoints) pointers.push_back(&endpoint);
  std::vector<std::string> complaints;
  const CardPolicy policy = make_policy(2, pointers, complaints);
  EXPECT_THAT(complaints, IsEmpty());
  return policy;
}

TEST(FirewallPorts, AreReadAsTheReferenceWritesThem) {
  EXPECT_EQ(parse_port_spec("80/tcp").open, (OpenPorts{Protocol::tcp, {80, 80}}));
  EXPECT_EQ(parse_port_spec("80").open, (OpenPorts{Protocol::tcp, {80, 80}}));
  EXPECT_EQ(parse_port_spec("9000-9010/udp").open, (OpenPorts{Protocol::udp, {9000, 9010}}));
  EXPECT_THAT(parse_port_spec("80:80/tcp").redirects, IsEmpty());
  const PortSpec redirected = parse_port_spec("8080:80/tcp");
  EXPECT_EQ(redirected.open, (OpenPorts{Protocol::tcp, {80, 80}}));
  EXPECT_THAT(redirected.redirects, ElementsAre(Redirect{Protocol::tcp, 8080, 80}));
  EXPECT_THAT(parse_port_spec("1-5:1-5/udp").redirects, IsEmpty());
  for (const char* bad : {"x/tcp", "", "/tcp", "80/sctp", "0/tcp", "65536/tcp", "9-5/tcp", "1-5:2-6/tcp",
                          "80:/tcp", ":80/tcp", "80:81:82/tcp", "-5/tcp", "80/"}) {
    EXPECT_THROW(parse_port_spec(bad), Error) << bad;
  }
}

TEST(FirewallPolicy, F14PublishedIsTheDefault) {
  for (const TrustLevel level : {TrustLevel::published, TrustLevel::unspecified}) {
    const CardPolicy policy = policy_of({endpoint_of(level)});
    EXPECT_TRUE(policy.outbound && policy.ping);
    EXPECT_FALSE(policy.everything || policy.dhcp);
    EXPECT_EQ(policy.ports.size(), 3u);
    EXPECT_EQ(policy.redirects.size(), 1u);
    EXPECT_THAT(policy.trusted, IsEmpty());
  }
}

TEST(FirewallPolicy, F15TheOtherLevels) {
  EXPECT_EQ(policy_of({endpoint_of(TrustLevel::closed)}),
            (CardPolicy{2, false, false, false, false, {}, {}, {}}));
  EXPECT_EQ(policy_of({endpoint_of(TrustLevel::outbound)}),
            (CardPolicy{2, false, true, false, false, {}, {}, {}}));
  const CardPolicy peers = policy_of({endpoint_of(TrustLevel::peers)});
  EXPECT_TRUE(peers.outbound);
  EXPECT_FALSE(peers.ping || peers.everything);
  EXPECT_EQ(peers.trusted.size(), 1u);
  EXPECT_EQ(peers.redirects.size(), 1u);
  EXPECT_THAT(peers.ports, IsEmpty());
  const CardPolicy open = policy_of({endpoint_of(TrustLevel::open)});
  EXPECT_TRUE(open.everything);
  EXPECT_EQ(open.redirects.size(), 1u);
  const CardPolicy bridge = policy_of({endpoint_of(TrustLevel::closed, "bridge")});
  EXPECT_TRUE(bridge.outbound);
  EXPECT_EQ(bridge.trusted.size(), 1u);
  EXPECT_THAT(bridge.ports, IsEmpty());
}

TEST(FirewallPolicy, EndpointsOnOneCardAddUp) {
  auto dynamic = endpoint_of(TrustLevel::closed);
  dynamic.is_static = false;
  const CardPolicy policy = policy_of({dynamic, endpoint_of(TrustLevel::outbound)});
  EXPECT_TRUE(policy.outbound && policy.dhcp);
}

TEST(FirewallPolicy, ANetworkOfAnotherTypeHasNoneUnlessAsked) {
  EXPECT_FALSE(config::wants_firewall(endpoint_of(TrustLevel::unspecified, "user")));
  EXPECT_FALSE(config::wants_firewall(endpoint_of(TrustLevel::unspecified, "")));
  EXPECT_TRUE(config::wants_firewall(endpoint_of(TrustLevel::closed, "user")));
  EXPECT_TRUE(config::wants_firewall(endpoint_of(TrustLevel::unspecified, "bridge")));
}

TEST(FirewallPolicy, SaysWhichPortIsNone) {
  auto endpoint = endpoint_of(TrustLevel::published);
  endpoint.ports = {"x/tcp", "80/tcp"};
  std::vector<std::string> complaints;
  EXPECT_EQ(make_policy(2, {&endpoint}, complaints).ports.size(), 1u);
  EXPECT_THAT(complaints, ElementsAre(HasSubstr("network net: \"x/tcp\" names no port")));
}

TEST(FirewallPolicy, APoolHasToBeOne) {
  auto endpoint = endpoint_of(TrustLevel::peers);
  endpoint.network.pools = {{IpAddress::parse("10.1.1.9"), IpAddress::parse("10.1.1.5")}};
  EXPECT_THROW(policy_of({endpoint}), Error);
  endpoint.network.pools = {{IpAddress::parse("10.1.1.9"), IpAddress::parse("fd00::1")}};
  EXPECT_THROW(policy_of({endpoint}), Error);
  endpoint.network.pools = {{IpAddress::parse("fd00::1"), IpAddress::parse("fd00::9")}};
  EXPECT_EQ(policy_of({endpoint}).trusted.size(), 1u);
}

TEST(FirewallTransaction, RemovesTheTableWhenThereIsNothingToKeep) {
  const Transaction nothing = make_transaction({});
  EXPECT_EQ(nothing.last_sequence, 3u) << "begin, make, remove; then the end";
  const Transaction something = make_transaction({policy_of({endpoint_of(TrustLevel::published)})});
  EXPECT_GT(something.last_sequence, nothing.last_sequence + 5);
  EXPECT_EQ(something.messages.size() % 4, 0u);
}

}  // namespace
}  // namespace berth::tether::firewall
