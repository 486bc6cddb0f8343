// What the guest's firewall lets through, probed from the other end of a card.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "wired.hpp"

namespace berth::tether_test {
namespace {

using config::IpAddress;
using ::testing::HasSubstr;
using tether::dhcp::TestReply;

/// What passes, as the peer (in the pool) and as a stranger.
struct Passes {
  Answer peer_tcp_80;
  Answer stranger_tcp_80;
  Answer stranger_tcp_81;
  Answer stranger_tcp_8080;
  Answer stranger_udp_9010;
  Answer stranger_udp_9011;
  Answer peer_echo;
  Answer stranger_echo;
  bool outbound;
  bool operator==(const Passes&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Passes& passes) {
  for (const Answer answer :
       {passes.peer_tcp_80, passes.stranger_tcp_80, passes.stranger_tcp_81, passes.stranger_tcp_8080,
        passes.stranger_udp_9010, passes.stranger_udp_9011, passes.peer_echo, passes.stranger_echo}) {
    out << "-+x"[static_cast<int>(answer)];
  }
  return out << (passes.outbound ? " out" : " no out");
}

Task<Passes> probe_all(Wired& wired) {
  const std::uint32_t guest = ipv4("10.1.1.2");
  const std::uint32_t in_pool = ipv4("10.1.1.77");
  const std::uint32_t stranger = ipv4("10.1.1.78");
  Peer& peer = wired.first;
  Passes passes{};
  passes.peer_tcp_80 = co_await peer.probe_tcp(in_pool, guest, 80);
  passes.stranger_tcp_80 = co_await peer.probe_tcp(stranger, guest, 80);
  passes.stranger_tcp_81 = co_await peer.probe_tcp(stranger, guest, 81);
  passes.stranger_tcp_8080 = co_await peer.probe_tcp(stranger, guest, 8080);
  passes.stranger_udp_9010 = co_await peer.probe_udp(stranger, guest, 9010);
  passes.stranger_udp_9011 = co_await peer.probe_udp(stranger, guest, 9011);
  passes.peer_echo = co_await peer.probe_echo(in_pool, guest);
  passes.stranger_echo = co_await peer.probe_echo(stranger, guest);
  const std::string sent = co_await wired.run("ping -c 1 -W 2 10.1.1.200 > /dev/null && echo out");
  passes.outbound = sent == "out\n";
  co_return passes;
}

TEST(TetherNetwork, F14F15F16TrustLevelsLetThroughWhatTheySay) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    wired->first.addresses = {ipv4("10.1.1.200"), ipv4("10.1.1.77"), ipv4("10.1.1.78")};
    auto& guest = *wired->guest;
    guest.config.sessions["main"] = make_session(shell("exec httpd -f -p 80"));
    config::NetworkEndpoint endpoint = static_endpoint("ext", kFirstCard, "10.1.1.2/24");
    endpoint.network.type = "external";
    endpoint.ports = {"80/tcp", "8080:80/tcp", "9000-9010/udp"};
    endpoint.ports.emplace_back("x/tcp");
    config::IpRange pool;
    pool.first = IpAddress::parse("10.1.1.5");
    pool.last = IpAddress::parse("10.1.1.77");
    config::IpRange pool6;
    pool6.first = IpAddress::parse("fd00::5");
    pool6.last = IpAddress::parse("fd00::77");
    endpoint.network.pools = {pool, pool6};
    guest.config.networks["a"] = endpoint;
    co_await guest.push();
    co_await guest.wait_started("main");
    co_await wired->run("until nc 127.0.0.1 80 < /dev/null; do :; done");

    using config::TrustLevel;
    constexpr Answer no = Answer::none;
    constexpr Answer yes = Answer::accepted;
    constexpr Answer refused = Answer::refused;
    struct Case {
      TrustLevel level;
      const char* type;
      Passes expected;
    };
    const Case cases[] = {
        {TrustLevel::unspecified, "external", {yes, yes, no, yes, refused, no, yes, yes, true}},
        {TrustLevel::published, "external", {yes, yes, no, yes, refused, no, yes, yes, true}},
        {TrustLevel::closed, "external", {no, no, no, no, no, no, no, no, false}},
        {TrustLevel::outbound, "external", {no, no, no, no, no, no, no, no, true}},
        {TrustLevel::peers, "external", {yes, no, no, no, no, no, yes, no, true}},
        {TrustLevel::open, "external", {yes, yes, refused, yes, refused, refused, yes, yes, true}},
        {TrustLevel::closed, "bridge", {yes, no, no, no, no, no, yes, no, true}},
        {TrustLevel::unspecified, "", {yes, yes, refused, refused, refused, refused, yes, yes, true}},
    };
    for (const Case& one : cases) {
      guest.config.networks["a"].network.trust_level = one.level;
      guest.config.networks["a"].network.type = one.type;
      co_await guest.push();
      const Passes passes = co_await probe_all(*wired);
      EXPECT_EQ(passes, one.expected) << static_cast<int>(one.level) << one.type;
    }
    EXPECT_THAT(guest.machine().console_tail(), HasSubstr("network ext: \"x/tcp\" names no port"));
    co_await guest.power_off();
  });
}

TEST(TetherNetwork, AFirewallLetsDhcpThrough) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    TestServer server;
    server.options = {
        kMask24, {51, TestReply::number(60)}, {58, TestReply::number(1)}, {59, TestReply::number(50)}};
    wired->first.addresses = {ipv4("192.0.2.1")};
    wired->first.dhcp_server = [&server](std::string_view request) { return server.answer(request); };
    auto& networks = wired->guest->config.networks;
    networks["a"] = dynamic_endpoint("ext", kFirstCard);
    networks["a"].network.trust_level = config::TrustLevel::closed;
    co_await wired->guest->push();
    co_await wired->guest->wait_started("main");
    // The first by packet socket, which no rule meets; renewals by UDP.
    co_await wired->first.wait_dhcp_requests(5);
    EXPECT_EQ(networks.at("a").assigned.to_string(), "192.0.2.5/24");
    std::size_t renewals = 0;
    for (const std::string& request : wired->first.dhcp_requests)
      renewals += tether::dhcp::number_at(request, 12) != 0 ? 1 : 0;
    EXPECT_EQ(renewals, wired->first.dhcp_requests.size() - 2) << "no renewal was lost";
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, F17WithoutItsFirewallNothingRuns) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    auto& networks = wired->guest->config.networks;
    networks["a"] = static_endpoint("ext", kFirstCard, "10.1.1.2/24");
    networks["a"].network.trust_level = config::TrustLevel::peers;
    config::IpRange pool;
    pool.first = IpAddress::parse("10.1.1.77");
    pool.last = IpAddress::parse("10.1.1.5");
    networks["a"].network.pools = {pool};
    EXPECT_EQ(co_await refusal_of(*wired->guest),
              "network ext: 10.1.1.77 to 10.1.1.5 is no pool of addresses");
    EXPECT_EQ(wired->guest->session("main").started, "");
    co_await wired->guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
