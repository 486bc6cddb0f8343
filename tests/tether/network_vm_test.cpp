// The guest's side of networking, with the test at the other end of the machine's cards.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "wired.hpp"

namespace berth::tether_test {
namespace {

using config::IpAddress;
using config::IpNetwork;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tether::dhcp::TestReply;
using tether::dhcp::Type;

/// But for what the kernel does by itself, in its own time: link-local addresses, multicast routes.
const std::string kShowNetworks =
    "for i in /sys/class/net/*; do echo ${i##*/} mtu $(cat $i/mtu) flags $(cat $i/flags); done;"
    "ip addr | grep inet | grep -v fe80; ip route; ip -6 route | grep -v -e fe80 -e ^multicast;"
    "cat /etc/hosts /etc/resolv.conf; stat -c %Y /etc/hosts /etc/resolv.conf; mount | wc -l";

TEST(TetherNetwork, F5F6F7F8StaticNetworksOnSeveralCards) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    auto& networks = wired->guest->config.networks;
    networks["a"] = static_endpoint("front", kFirstCard, "10.1.0.2/24");
    networks["a"].network.gateway = IpNetwork::parse("10.1.0.1/24");
    networks["a"].network.destinations = {IpNetwork::parse("10.0.0.0/8")};
    networks["a"].network.destinations.push_back(IpNetwork::parse("192.168.0.0/16"));
    networks["b"] = static_endpoint("back", kFirstCard, "10.2.0.2/24");
    networks["c"] = static_endpoint("outside", kSecondCard, "172.16.0.2/24");
    networks["c"].common.name = "ext0";
    networks["c"].network.gateway = IpNetwork::parse("172.16.0.1/24");
    networks["c"].network.is_default = true;
    networks["c"].network.mtu = 1400;
    networks["d"] = static_endpoint("outside6", kSecondCard, "fd00::2/64");
    networks["d"].network.gateway = IpNetwork::parse("fd00::1/64");
    networks["d"].network.is_default = true;
    networks["e"] = static_endpoint("bare", kThirdCard, "0.0.0.0/0");
    co_await wired->guest->push();
    co_await wired->guest->wait_started("main");

    co_await wired->run("echo 192.0.2.99 own >> /etc/hosts");
    const std::string shown = co_await wired->run(kShowNetworks);
    for (const char* line :
         {"inet 10.1.0.2/24 scope global eth0", "inet 10.2.0.2/24 scope global eth0",
          "inet 172.16.0.2/24 scope global ext0", "inet6 fd00::2/64 scope global",
          "ext0 mtu 1400 flags 0x1003", "eth2 mtu 1500 flags 0x1003", "default via 172.16.0.1 dev ext0",
          "10.0.0.0/8 via 10.1.0.1 dev eth0", "192.168.0.0/16 via 10.1.0.1 dev eth0",
          "default via fd00::1 dev ext0", "10.1.0.2\tfront.localhost", "172.16.0.2\toutside.localhost",
          "fd00::2\toutside6.localhost",
          "nameserver 172.16.0.1\nnameserver fd00::1\nnameserver 10.1.0.1\n"}) {
      EXPECT_THAT(shown, HasSubstr(line));
    }
    EXPECT_THAT(shown, Not(HasSubstr("bare.localhost")));
    EXPECT_THAT(shown, Not(HasSubstr("default via 10.1.0.1")));
    const auto& told = wired->guest->config.networks;
    EXPECT_EQ(told.at("c").assigned.to_string(), "172.16.0.2/24");
    EXPECT_EQ(told.at("c").network.assigned.gateway.to_string(), "172.16.0.1/24");
    EXPECT_EQ(told.at("c").network.assigned.nameservers.at(0).to_string(), "172.16.0.1");
    EXPECT_TRUE(told.at("e").assigned.empty());

    // B8: the same again, and again.
    for (int i = 0; i < 100; ++i) co_await wired->guest->push();
    EXPECT_EQ(co_await wired->run(kShowNetworks), shown);

    // What is different is applied: an address, a resolver, a network that is new and one that is gone, a
    // name.
    auto& changed = wired->guest->config.networks;
    changed["a"].ip = IpNetwork::parse("10.1.0.9/24");
    changed["c"].network.nameservers = {IpAddress::parse("9.9.9.9")};
    changed.erase("b");
    changed["e"] = static_endpoint("third", kThirdCard, "10.3.0.2/24");
    changed["e"].common.name = "eth0";
    changed["a"].common.name = "eth2";
    wired->guest->config.dns_search = {"example.org"};
    co_await wired->guest->push();
    const std::string after = co_await wired->run(kShowNetworks);
    for (const char* line : {"inet 10.1.0.9/24 scope global eth2", "10.0.0.0/8 via 10.1.0.1 dev eth2",
                             "inet 10.3.0.2/24 scope global eth0", "nameserver 9.9.9.9", "search example.org",
                             "10.1.0.9\tfront.localhost", "10.3.0.2\tthird.localhost", "192.0.2.99 own",
                             "default via 172.16.0.1"}) {
      EXPECT_THAT(after, HasSubstr(line));
    }
    for (const char* line : {"10.1.0.2", "10.2.0.2", "nameserver 172.16.0.1", "back.localhost"})
      EXPECT_THAT(after, Not(HasSubstr(line)));
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, F9SaysWhatIsWrongWithANetwork) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    auto& networks = wired->guest->config.networks;
    networks["a"] = static_endpoint("front", "eth7", "10.1.0.2/24");
    EXPECT_EQ(co_await refusal_of(*wired->guest),
              "network front: \"eth7\" is neither the MAC nor the PCI address of a network card");
    networks["a"] = static_endpoint("front", "52:54:00:ff:ff:ff", "10.1.0.2/24");
    EXPECT_EQ(co_await refusal_of(*wired->guest),
              "network front: the machine has no network card 52:54:00:ff:ff:ff");
    networks["a"] = static_endpoint("front", kFirstCard, "10.1.0.2/24");
    networks["a"].common.name = "eth1";
    EXPECT_EQ(co_await refusal_of(*wired->guest),
              "network front: there is another network interface named eth1");
    networks["a"].common.name = "";
    networks["a"].network.is_default = true;
    networks["a"].network.gateway = IpNetwork::parse("10.9.0.1/24");
    EXPECT_EQ(co_await refusal_of(*wired->guest), "network front: set a route: Network is unreachable");
    EXPECT_EQ(wired->guest->session("main").started, "");
    networks["a"].network.gateway = IpNetwork::parse("10.1.0.1/24");
    co_await wired->guest->push();
    co_await wired->guest->wait_started("main");
    EXPECT_EQ(wired->guest->session("main").started, "true") << "a machine that was told better runs";
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, F9FindsACardByItsPciAddress) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    co_await wired->guest->push();
    co_await wired->guest->wait_started("main");
    const std::string path = co_await wired->run("readlink -f /sys/class/net/eth1/device");
    const std::size_t begin = path.rfind("/0000:") + 1;
    wired->guest->config.networks["a"] =
        static_endpoint("front", path.substr(begin, 12).c_str(), "10.1.0.2/24");
    co_await wired->guest->push();
    EXPECT_THAT(co_await wired->run("ip addr show eth1"), HasSubstr("10.1.0.2/24"));
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, F10F13ALeaseIsTakenRenewedAndLost) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    TestServer server;
    server.options = {kMask24,
                      {3, TestReply::number(ipv4("192.0.2.1"))},
                      {6, TestReply::number(ipv4("192.0.2.53"))},
                      {26, std::string("\x05\x78", 2)},
                      {51, TestReply::number(12)},
                      {58, TestReply::number(1)},
                      {59, TestReply::number(10)}};
    Peer& peer = wired->first;
    peer.addresses = {ipv4("192.0.2.1")};
    peer.dhcp_server = [&server](std::string_view request) { return server.answer(request); };
    auto& guest = *wired->guest;
    guest.config.networks["a"] = dynamic_endpoint("ext", kFirstCard);
    co_await guest.push();
    co_await guest.wait_started("main");
    const auto is_assigned = [&guest](std::string address) {
      return guest.config.networks.at("a").assigned.to_string() == address;
    };
    EXPECT_TRUE(is_assigned("192.0.2.5/24"));
    EXPECT_EQ(tether::dhcp::request_options(peer.dhcp_requests.at(0)).at(12), "pod");
    const std::string shown = co_await wired->run(kShowNetworks);
    for (const char* line : {"inet 192.0.2.5/24", "default via 192.0.2.1", "nameserver 192.0.2.53",
                             "mtu 1400", "192.0.2.5\text.localhost", "192.0.2.5\tpod"}) {
      EXPECT_THAT(shown, HasSubstr(line));
    }
    // Renewed, without anything to tell.
    const std::size_t before = peer.dhcp_requests.size();
    co_await peer.wait_dhcp_requests(before + 2);
    EXPECT_EQ(tether::dhcp::number_at(peer.dhcp_requests.back(), 12), ipv4("192.0.2.5"));
    EXPECT_TRUE(is_assigned("192.0.2.5/24"));

    // A renewal brings another address.
    server.address = ipv4("192.0.2.6");
    co_await guest.wait_change("the new address", [&] { return is_assigned("192.0.2.6/24"); });
    std::string now = co_await wired->run(kShowNetworks);
    EXPECT_THAT(now, AllOf(HasSubstr("inet 192.0.2.6/24"), Not(HasSubstr("192.0.2.5/"))));
    EXPECT_THAT(now, HasSubstr("default via 192.0.2.1"));

    // A refusal has it start over.
    server.refuses_renewals = true;
    server.address = ipv4("192.0.2.7");
    co_await guest.wait_change("the address after a refusal", [&] { return is_assigned("192.0.2.7/24"); });

    // A server that is gone takes the address with it.
    peer.dhcp_server = nullptr;
    co_await guest.wait_change("the end of the lease", [&] { return is_assigned(""); });
    now = co_await wired->run(kShowNetworks);
    EXPECT_THAT(now, AllOf(Not(HasSubstr("inet 192.0.2.")), Not(HasSubstr("default via"))));
    EXPECT_EQ(guest.session("main").started, "true");

    server.refuses_renewals = false;
    peer.dhcp_server = [&server](std::string_view request) { return server.answer(request); };
    co_await guest.wait_change("the next lease", [&] { return is_assigned("192.0.2.7/24"); });
    co_await guest.power_off();
    EXPECT_EQ(tether::dhcp::request_type(peer.dhcp_requests.back()), Type::release);
  });
}

TEST(TetherNetwork, F12ALeaseNeedsNeitherRouterNorNameserver) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    TestServer server;
    server.options = {kMask24, {51, TestReply::number(600)}};
    wired->first.addresses = {ipv4("192.0.2.1")};
    wired->first.dhcp_server = [&server](std::string_view request) { return server.answer(request); };
    auto& networks = wired->guest->config.networks;
    networks["a"] = dynamic_endpoint("ext", kFirstCard);
    // It shares the lease.
    networks["b"] = dynamic_endpoint("ext-too", kFirstCard);
    networks["b"].network.is_default = false;
    networks["c"] = static_endpoint("more", kFirstCard, "10.1.0.2/24");
    co_await wired->guest->push();
    co_await wired->guest->wait_started("main");
    const std::string shown = co_await wired->run(kShowNetworks);
    EXPECT_THAT(shown, AllOf(HasSubstr("inet 192.0.2.5/24"), HasSubstr("inet 10.1.0.2/24"),
                             HasSubstr("ext-too.localhost"), Not(HasSubstr("default via"))));
    EXPECT_EQ(wired->first.dhcp_requests.size(), 2u);
    // The lease stays when another network comes.
    networks["d"] = static_endpoint("last", kSecondCard, "10.2.0.2/24");
    co_await wired->guest->push();
    EXPECT_EQ(wired->first.dhcp_requests.size(), 2u);
    // It goes with its network.
    networks.erase("a");
    networks.erase("b");
    co_await wired->guest->push();
    EXPECT_THAT(co_await wired->run(kShowNetworks), Not(HasSubstr("192.0.2.5")));
    co_await wired->first.wait_dhcp_requests(3);
    EXPECT_EQ(tether::dhcp::request_type(wired->first.dhcp_requests.back()), Type::release);
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, F11ASilentServerFailsTheStartByName) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    wired->guest->config.networks["a"] = dynamic_endpoint("ext", kFirstCard);
    EXPECT_EQ(co_await refusal_of(*wired->guest),
              "network ext: no DHCP server gave an address within 30 seconds");
    EXPECT_GE(wired->first.dhcp_requests.size(), 3u);
    EXPECT_EQ(wired->guest->session("main").started, "");
    co_await wired->guest->power_off();
  });
}

TEST(TetherNetwork, B9ANetworkThatWaitsHoldsNothingUp) {
  run_on_loop([]() -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    const auto wired = co_await boot_wired();
    auto& guest = *wired->guest;
    guest.config.networks["a"] = dynamic_endpoint("ext", kFirstCard);
    std::vector<std::string> refusals;
    const auto push = [](Guest& machine, std::vector<std::string>& answers) -> Task<> {
      std::string answer = co_await refusal_of(machine);
      answers.push_back(std::move(answer));
    };
    spawn_detached(executor, "first", push(guest, refusals));
    co_await wired->first.wait_dhcp_requests(1);
    // A reload that leaves the networks alone, and an order, are answered at once.
    guest.config.dns_search = {"example.org"};
    co_await guest.push();
    const link::Order kill = order_for_main(link::verb::signal);
    try {
      co_await guest.order(kill);
      ADD_FAILURE() << "a session that waits for its network was found";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::not_found) << error.what();
    }
    EXPECT_TRUE(refusals.empty()) << "the first still waits";
    // One that names other networks takes over; both have its answer.
    guest.config.networks["a"] = static_endpoint("ext", kFirstCard, "10.1.0.2/24");
    co_await guest.push();
    co_await guest.wait_started("main");
    co_await guest.wait_change("the first answer", [&] { return !refusals.empty(); });
    EXPECT_EQ(refusals.at(0), "none");
    EXPECT_THAT(co_await wired->run(kShowNetworks),
                AllOf(HasSubstr("10.1.0.2/24"), HasSubstr("example.org")));

    // In a machine that runs, a network that waits delays no exec.
    guest.config.networks["b"] = dynamic_endpoint("late", kSecondCard);
    spawn_detached(executor, "second", push(guest, refusals));
    co_await wired->second.wait_dhcp_requests(1);
    const auto session = co_await guest.exec("meanwhile", shell("exit 4"));
    EXPECT_EQ(session.exit_status, 4);
    EXPECT_EQ(refusals.size(), 1u);
    // Nor the end.
    const auto end = co_await guest.power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off) << end.describe();
  });
}

}  // namespace
}  // namespace berth::tether_test
