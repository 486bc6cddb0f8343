#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"
#include "link/guest_clock.hpp"

/// The guest's clock, with the test as the host that keeps it right.
namespace berth::tether_test {
namespace {

using namespace std::chrono_literals;

/// This host's clock, which may be told that time has passed.
class ShiftedClock final : public Clock {
 public:
  Nanoseconds now() const override { return system_.now() + shift; }
  Nanoseconds shift{};

 private:
  SystemClock system_;
};

std::int64_t seconds(Nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

Task<link::GuestClock> order_clock(Guest& guest, Nanoseconds time, Nanoseconds offset) {
  link::Order order;
  order.verb = link::verb::clock;
  order.time = time.count();
  order.offset = offset.count();
  link::GuestClock answer;
  extraconfig::decode(co_await guest.order(order), answer);
  co_return answer;
}

/// How far it was behind.
Task<Nanoseconds> correct(Guest& guest, const Clock& host) {
  const link::OrderSender send = [&guest](link::Order order) { return guest.order(std::move(order)); };
  Task<Nanoseconds> look = link::correct_guest_clock(host, send);
  co_return co_await std::move(look);
}

Task<std::string> said_by(Guest& guest, std::string id, std::string script) {
  co_await guest.exec(id, shell(script));
  co_await guest.wait_output(id, "end", [](const SessionOutput& output) { return output.ended; });
  co_return guest.output(id).standard_output;
}

Task<std::uint64_t> cpu_time(Guest& guest) {
  link::Stats stats;
  extraconfig::decode(co_await guest.order(order_for_main(link::verb::stats)), stats);
  co_return stats.cpu_nanoseconds;
}

/// Until two looks find the same processor time, or different ones.
Task<> wait_cpu_time(Guest& guest, bool stands_still) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  std::uint64_t before = co_await cpu_time(guest);
  while (std::chrono::steady_clock::now() < deadline) {
    const std::uint64_t now = co_await cpu_time(guest);
    if ((now == before) == stands_still) co_return;
    before = now;
  }
  throw Error(Code::timeout, "the processes {}", stands_still ? "go on" : "stand still");
}

TEST(TetherVm, F26TheClockIsRightBeforeAPausedContainerGoesOn) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main("while :; do date +%s; done");
    ShiftedClock host;
    const std::int64_t uptime_before = parse_integer(
        trim(co_await said_by(*guest, "up", "cut -d. -f1 /proc/uptime")), 0, INT32_MAX, "uptime");
    co_await guest->order(order_for_main(link::verb::freeze));
    co_await wait_cpu_time(*guest, true);
    co_await guest->machine().pause();
    host.shift = 1h;
    co_await guest->machine().resume();
    // It runs, but its processes do not yet.
    co_await wait_cpu_time(*guest, true);

    link::Order order;
    order.verb = link::verb::thaw;
    const Nanoseconds thawed = host.now();
    order.time = thawed.count();
    co_await guest->order(order);
    const Nanoseconds obeyed = host.now();
    co_await guest->wait_output("main", "the time of now", [&](const SessionOutput& output) {
      const std::vector<std::string> lines = split(trim(output.standard_output), '\n');
      return !lines.back().empty() && std::stoll(lines.back()) >= seconds(thawed);
    });
    const std::int64_t date = parse_integer(trim(co_await said_by(*guest, "date", "date +%s")), 0, INT64_MAX,
                                            "a date of the guest");
    EXPECT_GE(date, seconds(thawed));
    EXPECT_LE(date, seconds(host.now()));

    // What is wrong now is what the order was on its way, and not knowing when in the look it was read.
    const Nanoseconds begun = host.now();
    const Nanoseconds offset = co_await correct(*guest, host);
    EXPECT_LE(std::chrono::abs(offset), obeyed - thawed + (host.now() - begun));
    const std::int64_t uptime_after = parse_integer(
        trim(co_await said_by(*guest, "up2", "cut -d. -f1 /proc/uptime")), 0, INT32_MAX, "uptime");
    EXPECT_LT(uptime_after - uptime_before, 3600);
    co_await guest->power_off();
  });
}

TEST(TetherVm, F26AClockThatIsWrongByMuchIsSetAndByLittleSlewed) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_running_main(kIdle);
    const SystemClock host;
    for (const Nanoseconds wrong : {Nanoseconds(-1h), Nanoseconds(1h), Nanoseconds(-90s), Nanoseconds(90s)}) {
      const Nanoseconds begun = host.now();
      co_await order_clock(*guest, begun + wrong, Nanoseconds(0));
      const Nanoseconds offset = co_await correct(*guest, host);
      const Nanoseconds took = host.now() - begun;
      EXPECT_GE(offset, -wrong - took) << wrong.count();
      EXPECT_LE(offset, -wrong + took) << wrong.count();
      EXPECT_LE(std::chrono::abs(co_await correct(*guest, host)), host.now() - begun) << wrong.count();
    }

    const link::GuestClock before = co_await order_clock(*guest, host.now(), Nanoseconds(0));
    EXPECT_EQ(before.left, 0);
    const link::GuestClock slewed = co_await order_clock(*guest, Nanoseconds(0), Nanoseconds(-900ms));
    EXPECT_GE(slewed.time, before.time);
    EXPECT_LT(slewed.left, 0);
    EXPECT_GE(slewed.left, Nanoseconds(-900ms).count());
    // One that is set is right at once.
    EXPECT_EQ((co_await order_clock(*guest, host.now(), Nanoseconds(0))).left, 0);

    bool refused = false;
    try {
      co_await order_clock(*guest, Nanoseconds(-1), Nanoseconds(0));
    } catch (const Error& error) {
      refused = error.code() == Code::invalid_argument;
    }
    EXPECT_TRUE(refused);
    co_await guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
