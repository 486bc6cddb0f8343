#include "tether/os/network_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether::os {
namespace {

using config::IpAddress;
using config::IpNetwork;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kFirstCard = "52:54:00:00:00:01";
constexpr const char* kSecondCard = "52:54:00:00:00:02";

config::NetworkEndpoint endpoint_of(const char* network, const char* card, const char* address) {
  config::NetworkEndpoint endpoint;
  endpoint.common.id = card;
  endpoint.network.common.name = network;
  if (*address == '\0') return endpoint;
  endpoint.is_static = true;
  endpoint.ip = IpNetwork::parse(address);
  return endpoint;
}

config::NetworkEndpoint default_endpoint(const char* network, const char* address, const char* gateway) {
  config::NetworkEndpoint endpoint = endpoint_of(network, kFirstCard, address);
  endpoint.network.is_default = true;
  endpoint.network.gateway = IpNetwork::parse(gateway);
  return endpoint;
}

std::string bytes_of(const char* address) {
  return IpAddress::parse(address).data;
}

InterfaceAddress network_of(const char* text) {
  const IpNetwork network = IpNetwork::parse(text);
  return {network.ip.data, static_cast<unsigned>(*network.mask.bits())};
}

std::string refusal_of(const Endpoints& endpoints) {
  try {
    plan_cards(endpoints);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::invalid_argument);
    return error.what();
  }
  return "none";
}

TEST(NetworkPlan, F6EndpointsWithOneIdShareACard) {
  Endpoints endpoints{{"a", endpoint_of("front", kFirstCard, "10.0.0.2/24")},
                      {"b", endpoint_of("back", kFirstCard, "10.1.0.2/24")},
                      {"c", endpoint_of("ext", kSecondCard, "")}};
  endpoints["b"].common.id = "52:54:00:00:00:01";
  endpoints["c"].common.name = "ext0";
  const auto cards = plan_cards(endpoints);
  ASSERT_EQ(cards.size(), 2u);
  EXPECT_THAT(cards[0].endpoints, ElementsAre("a", "b"));
  EXPECT_EQ(cards[0].networks, "front, back");
  EXPECT_FALSE(cards[0].dynamic);
  EXPECT_EQ(cards[1].name, "ext0");
  EXPECT_TRUE(cards[1].dynamic);
}

TEST(NetworkPlan, AKeyIsTheIdOfAnEndpointWithoutOne) {
  const auto cards = plan_cards({{"52:54:00:AB:00:01", endpoint_of("n", "", "10.0.0.2/24")}});
  EXPECT_EQ(cards.at(0).device, "52:54:00:ab:00:01");
  EXPECT_EQ(plan_cards({{"x", endpoint_of("n", "0000:00:05.0", "10.0.0.2/24")}}).at(0).device,
            "0000:00:05.0");
}

TEST(NetworkPlan, F9SaysWhatCannotBeAndOfWhichNetwork) {
  EXPECT_THAT(refusal_of({{"a", endpoint_of("front", "eth0", "10.0.0.2/24")}}),
              AllOf(HasSubstr("network front: "), HasSubstr("neither the MAC nor the PCI address")));
  auto endpoint = endpoint_of("front", kFirstCard, "");
  endpoint.is_static = true;
  EXPECT_EQ(refusal_of({{"a", endpoint}}), "network front: it is static and has no address");
  for (const char* name : {"sixteen-letters-", "a/b", "a b", ".."}) {
    endpoint = endpoint_of("front", kFirstCard, "10.0.0.2/24");
    endpoint.common.name = name;
    EXPECT_THAT(refusal_of({{"a", endpoint}}), HasSubstr("cannot be the name of a network interface"))
        << name;
  }
  auto first = endpoint_of("front", kFirstCard, "10.0.0.2/24");
  auto second = endpoint_of("back", kFirstCard, "10.1.0.2/24");
  first.common.name = "one";
  second.common.name = "two";
  EXPECT_THAT(refusal_of({{"a", first}, {"b", second}}),
              HasSubstr("network back: its card has the name one"));
  endpoint = endpoint_of("front", kFirstCard, "10.0.0.2/24");
  endpoint.network.mtu = 20;
  EXPECT_THAT(refusal_of({{"a", endpoint}}), HasSubstr("an MTU of 20 cannot be"));
  endpoint = endpoint_of("front", kFirstCard, "10.0.0.2/24");
  endpoint.ip->mask.data = std::string("\xff\0\xff\0", 4);
  EXPECT_THAT(refusal_of({{"a", endpoint}}), HasSubstr("no proper network mask"));
  EXPECT_THAT(refusal_of({{"a", default_endpoint("front", "10.0.0.2/24", "10.0.0.1/24")},
                          {"b", default_endpoint("back", "10.1.0.2/24", "10.1.0.1/24")}}),
              HasSubstr("the networks front and back cannot both have the default route"));
}

TEST(NetworkPlan, EachFamilyMayHaveItsDefaultRoute) {
  const Endpoints endpoints{{"a", default_endpoint("front", "10.0.0.2/24", "10.0.0.1/24")},
                            {"b", default_endpoint("front6", "fd00::2/64", "fd00::1/64")}};
  EXPECT_EQ(plan_cards(endpoints).size(), 1u);
  const auto settings = settings_of(endpoints.at("b"), std::nullopt);
  EXPECT_THAT(settings.addresses, ElementsAre(network_of("fd00::2/64")));
  EXPECT_THAT(settings.routes, ElementsAre(Route{{}, bytes_of("fd00::1")}));
}

TEST(NetworkPlan, F5ADefaultEndpointRoutesByItsGateway) {
  const auto endpoint = default_endpoint("network", "172.16.0.2/24", "172.16.0.1/24");
  const auto settings = settings_of(endpoint, std::nullopt);
  EXPECT_THAT(settings.addresses, ElementsAre(network_of("172.16.0.2/24")));
  EXPECT_THAT(settings.routes, ElementsAre(Route{{}, bytes_of("172.16.0.1")}));
  const auto assignment = assignment_of(endpoint, std::nullopt);
  EXPECT_THAT(assignment.nameservers, ElementsAre(IpAddress::parse("172.16.0.1"))) << "none was given";
}

TEST(NetworkPlan, F7DestinationsAreRoutesOfAnyEndpoint) {
  auto endpoint = default_endpoint("network", "172.16.0.2/24", "172.16.0.1/24");
  endpoint.network.is_default = false;
  endpoint.network.destinations = {IpNetwork::parse("10.9.9.9/8"), IpNetwork::parse("192.168.0.0/16")};
  EXPECT_THAT(settings_of(endpoint, std::nullopt).routes,
              ElementsAre(Route{network_of("10.0.0.0/8"), bytes_of("172.16.0.1")},
                          Route{network_of("192.168.0.0/16"), bytes_of("172.16.0.1")}));
  endpoint.network.destinations = {IpNetwork::parse("fd00::/8")};
  EXPECT_THAT(refusal_of({{"a", endpoint}}), HasSubstr("cannot be reached by the gateway 172.16.0.1"));
  endpoint.network.gateway = {};
  EXPECT_TRUE(settings_of(endpoint, std::nullopt).routes.empty());
}

TEST(NetworkPlan, F8AnUnspecifiedAddressIsSomebodyElsesConcern) {
  auto endpoint = default_endpoint("network", "0.0.0.0/0", "10.0.0.1/24");
  EXPECT_EQ(settings_of(endpoint, std::nullopt), InterfaceSettings());
  EXPECT_TRUE(assignment_of(endpoint, std::nullopt).nameservers.empty());
  EXPECT_FALSE(plan_cards({{"a", endpoint}}).at(0).dynamic);
}

TEST(NetworkPlan, ALeaseFillsWhatTheConfigurationLeavesOpen) {
  auto endpoint = endpoint_of("ext", kFirstCard, "");
  endpoint.network.is_default = true;
  EXPECT_EQ(settings_of(endpoint, std::nullopt), InterfaceSettings());
  Lease lease;
  lease.address = IpNetwork::parse("192.0.2.5/24");
  lease.gateway = IpAddress::parse("192.0.2.1");
  EXPECT_THAT(settings_of(endpoint, lease).routes, ElementsAre(Route{{}, bytes_of("192.0.2.1")}));
  auto assignment = assignment_of(endpoint, lease);
  EXPECT_EQ(assignment.address.to_string(), "192.0.2.5/24");
  EXPECT_EQ(assignment.gateway.to_string(), "192.0.2.1/24");
  EXPECT_THAT(assignment.nameservers, ElementsAre(IpAddress::parse("192.0.2.1")));
  lease.nameservers = {IpAddress::parse("192.0.2.53")};
  EXPECT_THAT(assignment_of(endpoint, lease).nameservers, ElementsAre(IpAddress::parse("192.0.2.53")));
  endpoint.network.gateway = IpNetwork::parse("192.0.2.9/24");
  endpoint.network.nameservers = {IpAddress::parse("9.9.9.9")};
  assignment = assignment_of(endpoint, lease);
  EXPECT_EQ(assignment.gateway.ip.to_string(), "192.0.2.9");
  EXPECT_THAT(assignment.nameservers, ElementsAre(IpAddress::parse("9.9.9.9")));
  endpoint.is_static = true;
  endpoint.ip = IpNetwork::parse("10.0.0.2/24");
  EXPECT_EQ(assignment_of(endpoint, lease).address.to_string(), "10.0.0.2/24");
}

TEST(NetworkPlan, NamesAndServersOfTheDefaultNetworkComeFirst) {
  Endpoints endpoints{{"a", endpoint_of("back", kFirstCard, "10.0.0.2/24")},
                      {"b", default_endpoint("front", "10.1.0.2/24", "10.1.0.1/24")}};
  endpoints["a"].network.nameservers = {IpAddress::parse("10.0.0.53"), IpAddress::parse("10.1.0.1")};
  for (auto& [key, endpoint] : endpoints) {
    const auto assignment = assignment_of(endpoint, std::nullopt);
    endpoint.assigned = assignment.address;
    endpoint.network.assigned.nameservers = assignment.nameservers;
  }
  EXPECT_THAT(nameservers_of(endpoints), ElementsAre("10.1.0.1", "10.0.0.53"));
  EXPECT_THAT(addresses_of(endpoints), ElementsAre("10.0.0.2", "10.1.0.2"));
  EXPECT_THAT(network_names_of(endpoints),
              ElementsAre(Pair("back.localhost", "10.0.0.2"), Pair("front.localhost", "10.1.0.2")));
  endpoints["a"].network.common.name = "two words\n127.0.0.1 bank.example";
  EXPECT_EQ(network_names_of(endpoints).size(), 1u);
}

}  // namespace
}  // namespace berth::tether::os
