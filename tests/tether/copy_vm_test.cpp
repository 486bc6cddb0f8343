#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"
#include "wired.hpp"

/// What a guest does for a copy of its machine, and as one, with the test as the launcher. No copy is made:
/// the machine that was made ready goes on as if it were one.
namespace berth::tether_test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCard = "52:54:00:12:34:56";
constexpr const char* kNewCard = "52:54:00:12:34:99";
const std::string kNewId = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

const std::string kCount = "trap 'exit 5' TERM; n=0; while :; do n=$((n+1)); echo $n; done";

link::Order token_order(std::string_view verb, std::string token) {
  link::Order order;
  order.verb = verb;
  order.token = std::move(token);
  return order;
}

link::Order thaw_order() {
  link::Order order;
  order.verb = link::verb::thaw;
  order.time = SystemClock().now().count();
  return order;
}

Task<Code> refusal_of_order(Guest& guest, link::Order order) {
  try {
    co_await guest.order(std::move(order));
  } catch (const Error& error) {
    co_return error.code();
  }
  ADD_FAILURE() << "not refused";
  co_return Code::internal;
}

/// Nothing comes but the answers to orders.
Task<> expect_silence(Guest& guest) {
  const std::uint64_t output = guest.output_bytes();
  const int reports = guest.reports();
  for (int i = 0; i < 30; ++i) {
    link::Order look;
    look.verb = link::verb::clock;
    co_await guest.order(look);
  }
  EXPECT_EQ(guest.output_bytes(), output);
  EXPECT_EQ(guest.reports(), reports);
}

/// Until the container uses no processor time, as what it writes is not taken.
Task<> wait_blocked(Guest& guest) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  std::uint64_t before = 1;
  int equal = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    link::Stats stats;
    extraconfig::decode(co_await guest.order(order_for_main(link::verb::stats)), stats);
    equal = stats.cpu_nanoseconds == before ? equal + 1 : 0;
    before = stats.cpu_nanoseconds;
    if (equal == 20) co_return;
  }
  throw Error(Code::timeout, "the container goes on");
}

/// The interface of a line that ends so.
std::string interface_of(const std::string& text, const std::string& rest) {
  for (const std::string& line : split(text, '\n')) {
    if (line.find(rest) != std::string::npos) return line.substr(0, line.find(' '));
  }
  return "none";
}

/// Whole lines that count from 1.
void expect_counts(const std::string& text) {
  std::string expected;
  for (int n = 1; expected.size() < text.size(); ++n) expected += std::to_string(n) + "\n";
  EXPECT_EQ(text, expected.substr(0, text.size()));
}

Task<std::string> run_in(Guest& guest, std::string container, std::string id, std::string script) {
  co_await guest.exec(id, shell(script), [&](config::SessionConfig& exec) { exec.container = container; });
  co_await guest.wait_output(id, "end", [](const SessionOutput& output) { return output.ended; });
  co_return guest.output(id).standard_output + guest.output(id).standard_error;
}

/// Listens on the host, where the machine's gateway leads.
struct Listener {
  Listener() : socket(check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size), "bind");
    check(::listen(socket.get(), 8), "listen");
    check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
    port = ntohs(address.sin_port);
  }
  UniqueFd socket;
  int port = 0;
};

/// The configuration of the copy: another id, name, card, and other keys.
void rename_pod(Guest& guest) {
  config::ExecutorConfig& config = guest.config;
  config.common.id = kNewId;
  config.hostname = "copy";
  config.entropy.data = random_bytes(64);
  config.time = SystemClock().now();
  auto main = config.sessions.extract("main");
  main.key() = kNewId;
  main.mapped().common.id = kNewId;
  config.sessions.insert(std::move(main));
  for (auto& [id, exec] : config.execs) exec.container = kNewId;
  if (config.networks.contains("net")) config.networks["net"].common.id = kNewCard;
}

/// Tells the guest all of its configuration, or what has changed.
Task<> become_copy(Guest& guest, bool all) {
  link::Order order = token_order(link::verb::become, kNewId);
  order.session = "main";
  co_await guest.order(order);
  rename_pod(guest);
  if (all) guest.begin_anew();
  co_await guest.push();
}

TEST(TetherCopy, AMachineThatIsReadyToBeCopiedIsSilentAndLosesNothing) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kCount);
    const auto channel = co_await guest->exec_attached("cat", shell("exec cat"));
    config::SessionConfig idle = make_session(shell(kIdle));
    idle.container = "main";
    guest->config.execs["idle"] = std::move(idle);
    config::SessionConfig screen = make_session(shell("while :; do echo screen; done"));
    screen.container = "main";
    screen.tty = true;
    guest->config.execs["screen"] = std::move(screen);
    co_await guest->push();
    co_await guest->wait_started("idle");
    co_await guest->wait_started("screen");
    co_await guest->wait_output("main", "a hundred kilobytes",
                                [](const SessionOutput& o) { return o.standard_output.size() > 100'000; });
    for (int round = 1; round <= 2; ++round) {
      const std::string token = std::to_string(round);
      co_await guest->order(token_order(link::verb::prepare_copy, token));
      co_await guest->wait_change(
          "mark", [&] { return guest->marks().size() > 0 && guest->marks().back() == token; });
      EXPECT_EQ(co_await refusal_of_order(*guest, token_order(link::verb::prepare_copy, "again")),
                Code::wrong_state);
      if (round == 2) {
        link::Order kill = order_for_main(link::verb::signal);
        kill.session = "idle";
        kill.signal = 9;
        kill.whole_session = true;
        co_await guest->order(kill);
      }
      co_await expect_silence(*guest);
      EXPECT_EQ(guest->session("idle").detail.stop_time, 0);
      const std::size_t before = guest->output("main").standard_output.size();
      co_await guest->order(thaw_order());
      co_await guest->wait_output("main", "more", [&](const SessionOutput& output) {
        return output.standard_output.size() > before + 50'000;
      });
    }
    // Output that nobody takes: it does not become ready, and goes on.
    guest->read_output(false);
    co_await wait_blocked(*guest);
    EXPECT_EQ(co_await refusal_of_order(*guest, token_order(link::verb::prepare_copy, "late")),
              Code::timeout);
    guest->read_output(true);
    co_await guest->wait_ended("idle");
    EXPECT_EQ(guest->session("idle").signal, 9);
    co_await channel->write_all("still here\n");
    std::string echo(11, '\0');
    for (std::size_t n = 0; n < echo.size();)
      n += co_await channel->read_some(echo.data() + n, echo.size() - n);
    EXPECT_EQ(echo, "still here\n");
    link::Order stop = order_for_main(link::verb::signal);
    stop.signal = 15;
    co_await guest->order(stop);
    co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    expect_counts(guest->output("main").standard_output);
    EXPECT_EQ(co_await refusal_of_order(*guest, token_order(link::verb::prepare_copy, "")),
              Code::invalid_argument);
    co_await guest->power_off();
  });
}

const std::string kIdentity =
    "hostname; cat /etc/hostname /etc/hosts /etc/machine-id; ls /sys/class/dmi/id;"
    "echo boot $(cat /proc/sys/kernel/random/boot_id); cat /sys/class/net/eth0/address;"
    "ip -6 addr show dev eth0; netstat -tn";

std::string boot_id_in(const std::string& text) {
  constexpr std::string_view kBefore = "boot ";
  const std::size_t begin = text.find(kBefore) + kBefore.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

TEST(TetherCopy, BecomesAnotherPodWithoutStartingOrStoppingAnything) {
  run_on_loop([]() -> Task<> {
    const Listener peer;
    Guest::Options options;
    options.network = true;
    auto guest = co_await Guest::boot(options);
    guest->config.hostname = "original";
    config::NetworkEndpoint net;
    net.common.id = kCard;
    net.network.common.name = "user";
    net.network.is_default = true;
    guest->config.networks["net"] = net;
    guest->config.sessions["main"] = make_session(
        shell("mkfifo /tmp/q; exec 9<>/tmp/q; nc -l -p 7000 <&9 >/dev/null & "
              "until netstat -tln | grep -q :7000; do :; done; nc 127.0.0.1 7000 <&9 >/dev/null & "
              "(nc 10.0.2.2 " +
              std::to_string(peer.port) +
              " <&9 >/dev/null; touch /tmp/outer-ended) & "
              "trap 'touch /tmp/usr1' USR1; " +
              kCount));
    guest->config.sessions["main"].open_stdin = true;
    co_await guest->push();
    co_await guest->wait_started("main");
    Stream listening(co_await asio::this_coro::executor, duplicate(peer.socket.get()));
    co_await listening.wait_readable();
    const UniqueFd accepted(::accept4(peer.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const auto channel = co_await guest->exec_attached("cat", shell("exec cat"));
    config::SessionConfig idle = make_session(shell("sleep 100000 & wait"));
    idle.container = "main";
    guest->config.execs["idle"] = std::move(idle);
    co_await guest->push();
    co_await guest->wait_started("idle");
    const std::string before = co_await run_in(*guest, "main", "before", kIdentity);
    EXPECT_THAT(before, HasSubstr("original\n"));
    EXPECT_THAT(before, HasSubstr("a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4\n"));
    EXPECT_THAT(before, HasSubstr(kCard));
    EXPECT_THAT(before, HasSubstr("10.0.2.2:" + std::to_string(peer.port)));
    const std::int64_t started = guest->session("main").detail.start_time;

    link::Order early = token_order(link::verb::become, kNewId);
    early.session = "main";
    EXPECT_EQ(co_await refusal_of_order(*guest, early), Code::wrong_state);
    co_await guest->order(token_order(link::verb::prepare_copy, "copy"));
    co_await guest->wait_change("mark", [&] { return !guest->marks().empty(); });
    early.session = "nobody";
    EXPECT_EQ(co_await refusal_of_order(*guest, early), Code::not_found);
    co_await become_copy(*guest, true);
    co_await expect_silence(*guest);
    co_await guest->order(thaw_order());
    guest->attach_port().drop_connection();

    const std::string after = co_await run_in(*guest, kNewId, "after", kIdentity);
    EXPECT_THAT(after, HasSubstr("copy\ncopy\n"));
    EXPECT_THAT(after, HasSubstr("10.0.2.16\tcopy"));
    EXPECT_THAT(after, Not(HasSubstr("original")));
    EXPECT_THAT(after, HasSubstr(kNewId.substr(0, 32) + "\n"));
    EXPECT_THAT(after, Not(HasSubstr("a1b2c3d4e5f6")));
    EXPECT_THAT(after, HasSubstr(kNewCard));
    EXPECT_THAT(after, Not(HasSubstr("inet6 fe80"))) << "nobody gave the card an IPv6 address";
    EXPECT_THAT(after, Not(HasSubstr("10.0.2.2:" + std::to_string(peer.port))));
    EXPECT_THAT(after, HasSubstr("127.0.0.1:7000"));
    EXPECT_THAT(after, HasSubstr("ESTABLISHED"));
    for (const std::string* text : {&before, &after}) {
      const std::string boot_id = boot_id_in(*text);
      EXPECT_EQ(boot_id.size(), 36u) << boot_id;
    }
    EXPECT_NE(boot_id_in(before), boot_id_in(after));

    // The same processes go on, and can be reached by the new id.
    EXPECT_EQ(guest->session(kNewId).detail.start_time, started);
    EXPECT_EQ(guest->session("idle").detail.stop_time, 0);
    EXPECT_EQ(guest->session("cat").detail.stop_time, 0);
    link::Order signal = order_for_main(link::verb::signal);
    EXPECT_EQ(co_await refusal_of_order(*guest, signal), Code::not_found);
    signal.session = kNewId;
    signal.signal = 10;
    co_await guest->order(signal);
    EXPECT_THAT(co_await run_in(*guest, kNewId, "look",
                                "until [ -e /tmp/usr1 ] && [ -e /tmp/outer-ended ]; do :; done; echo both"),
                HasSubstr("both\n"));
    const auto input = co_await guest->attach(kNewId, "stdin");
    EXPECT_FALSE(input->closed());
    signal.signal = 15;
    co_await guest->order(signal);
    co_await guest->wait_ended(kNewId);
    EXPECT_EQ(guest->session(kNewId).exit_status, 5);
    co_await guest->wait_output(kNewId, "end", [](const SessionOutput& output) { return output.ended; });
    expect_counts(guest->output("main").standard_output + guest->output(kNewId).standard_output);
    co_await guest->power_off();
  });
}

TEST(TetherCopy, EachCardGoesOnWithItsNetworks) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_wired();
    Guest& guest = *wired->guest;
    auto& networks = guest.config.networks;
    networks["a"] = static_endpoint("front", kSecondCard, "10.1.0.2/24");
    networks["b"] = static_endpoint("back", kFirstCard, "10.2.0.2/24");
    networks["six"] = static_endpoint("six", kFirstCard, "fd00:2::2/64");
    co_await guest.push();
    co_await guest.wait_started("main");
    const std::string show_local = "until ip -6 addr | grep fe80; do sleep 0.1; done";
    EXPECT_THAT(co_await run_in(guest, "main", "local", show_local), HasSubstr("fe80::5054:ff:feaa:1/64"));
    const std::string show =
        "cd /sys/class/net; for i in eth*; do echo $i $(cat $i/address) $(ip -4 addr show dev $i | grep "
        "inet);"
        "done";
    const std::string before = co_await run_in(guest, "main", "before", show);
    const std::string front = interface_of(before, " 52:54:00:aa:00:02 inet 10.1.0.2/24");
    const std::string back = interface_of(before, " 52:54:00:aa:00:01 inet 10.2.0.2/24");
    co_await guest.order(token_order(link::verb::prepare_copy, "copy"));
    networks["a"] = static_endpoint("front", "52:54:00:bb:00:01", "10.1.0.3/24");
    networks["b"] = static_endpoint("back", "52:54:00:bb:00:02", "10.2.0.3/24");
    networks["six"] = static_endpoint("six", "52:54:00:bb:00:02", "fd00:2::3/64");
    co_await become_copy(guest, false);
    co_await guest.order(thaw_order());
    const std::string after = co_await run_in(guest, kNewId, "after", show);
    EXPECT_EQ(interface_of(after, " 52:54:00:bb:00:01 inet 10.1.0.3/24"), front) << after;
    EXPECT_EQ(interface_of(after, " 52:54:00:bb:00:02 inet 10.2.0.3/24"), back) << after;
    const std::string local = co_await run_in(guest, kNewId, "local-after", show_local);
    EXPECT_THAT(local, HasSubstr("fe80::5054:ff:febb:2/64"));
    EXPECT_THAT(local, Not(HasSubstr("feaa:1"))) << "the original's";
    EXPECT_THAT(local, Not(HasSubstr("febb:1"))) << "of a card without an IPv6 address";
    EXPECT_NE(front, "none") << before;
    EXPECT_NE(back, "none") << before;
    co_await guest.power_off();
  });
}

TEST(TetherCopy, AProcessAsksForCopiesAndLearnsWhichItIs) {
  run_on_loop([]() -> Task<> {
    const Guest::Options options;
    auto guest = co_await Guest::boot(options);
    guest->config.sessions["main"] =
        make_session(shell("berth-fork 'fork 2'; berth-fork 'fork 1'; berth-fork 'fork 9'; berth-fork spoon; "
                           "exec sleep 100000"));
    guest->config.sessions["main"].fork_limit = 3;
    co_await guest->push();
    co_await guest->wait_change("request", [&] { return guest->config.fork_request.count == 2; });
    EXPECT_EQ(guest->config.fork_request.sequence, 1);
    co_await guest->order(token_order(link::verb::prepare_copy, "copy"));
    co_await guest->order(thaw_order());
    co_await guest->order(token_order(link::verb::forked, "parent one two"));
    co_await guest->wait_change("request", [&] { return guest->config.fork_request.sequence == 2; });
    EXPECT_EQ(guest->config.fork_request.count, 1);
    // This one is answered in a copy, whose requests are counted anew.
    co_await guest->order(token_order(link::verb::prepare_copy, "another"));
    co_await become_copy(*guest, false);
    co_await guest->order(token_order(link::verb::forked, "child 1 three"));
    co_await guest->order(thaw_order());
    co_await guest->wait_output(kNewId, "refusal", [](const SessionOutput& output) {
      return output.standard_output.find("invalid-argument") != std::string::npos;
    });
    const std::string text = guest->output("main").standard_output + guest->output(kNewId).standard_output;
    EXPECT_THAT(text, HasSubstr("parent one two\nchild 1 three\nerror capacity "));
    EXPECT_EQ(guest->config.fork_request.count, 0);
    EXPECT_EQ(co_await refusal_of_order(*guest, token_order(link::verb::forked, "parent")),
              Code::wrong_state);
    co_await guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
