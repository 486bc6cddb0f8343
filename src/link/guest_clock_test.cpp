#include "link/guest_clock.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"

namespace berth::link {
namespace {

using namespace std::chrono_literals;

constexpr Nanoseconds kNoon = 1'700'000'000s;

TEST(GuestClock, IsRightWithinWhatTheAnswerTook) {
  EXPECT_EQ(clock_offset({kNoon, kNoon + 1ms, kNoon + 2ms}), 0ns);
  // Anything between the question and the answer may be right.
  EXPECT_EQ(clock_offset({kNoon, kNoon, kNoon + 4s}), 0ns);
  EXPECT_EQ(clock_offset({kNoon, kNoon + 4s, kNoon + 4s}), 0ns);
}

TEST(GuestClock, LittleIsLeftAlone) {
  EXPECT_EQ(clock_offset({kNoon, kNoon - 10ms, kNoon}), 0ns);
  EXPECT_EQ(clock_offset({kNoon, kNoon + 10ms, kNoon}), 0ns);
  EXPECT_EQ(clock_offset({kNoon, kNoon - 11ms, kNoon}), 11ms);
  EXPECT_EQ(clock_offset({kNoon, kNoon + 11ms, kNoon}), -11ms);
}

TEST(GuestClock, IsComparedWithTheMiddleOfTheRoundTrip) {
  EXPECT_EQ(clock_offset({kNoon, kNoon - 1h + 20ms, kNoon + 40ms}), 1h);
  EXPECT_EQ(clock_offset({kNoon, kNoon + 5s, kNoon + 2s}), -4s);
}

TEST(GuestClock, AHostThatWasSetMeanwhileSaysNothing) {
  EXPECT_EQ(clock_offset({kNoon, kNoon, kNoon - 1h}), 0ns);
}

TEST(GuestClock, NoTimeIsTooFar) {
  const Nanoseconds last(INT64_MAX);
  EXPECT_EQ(clock_offset({1ns, last, 1ns}), 1ns - last);
  EXPECT_EQ(clock_offset({last, 1ns, last}), last - 1ns);
}

/// A guest whose clock goes on only when the host asks.
class GuestClockTest : public testing::Test {
 protected:
  Nanoseconds correct() {
    const OrderSender send = [this](Order order) { return obey(std::move(order)); };
    asio::io_context loop;
    std::exception_ptr failure;
    Nanoseconds corrected{};
    asio::co_spawn(loop, correct_guest_clock(host_, send), [&](std::exception_ptr thrown, Nanoseconds by) {
      failure = thrown;
      corrected = by;
    });
    loop.run();
    if (failure) std::rethrow_exception(failure);
    return corrected;
  }

  Task<extraconfig::Pairs> obey(Order order) {
    EXPECT_EQ(order.verb, verb::clock);
    EXPECT_EQ(order.time, 0);
    orders_.push_back(order.offset);
    host_.advance(1ms);
    lag_ -= Nanoseconds(order.offset);
    GuestClock answer;
    answer.time = (host_.now() - lag_).count();
    host_.advance(1ms);
    co_return extraconfig::encode(answer);
  }

  ManualClock host_{kNoon};
  Nanoseconds lag_{};
  std::vector<std::int64_t> orders_;
};

TEST_F(GuestClockTest, ARightClockIsOnlyLookedAt) {
  EXPECT_EQ(correct(), 0ns);
  EXPECT_EQ(orders_, std::vector<std::int64_t>({0}));
}

TEST_F(GuestClockTest, AWrongClockIsCorrectedOnce) {
  for (const Nanoseconds lag : {Nanoseconds(1h), Nanoseconds(-7s), Nanoseconds(15ms)}) {
    orders_.clear();
    lag_ = lag;
    EXPECT_EQ(correct(), lag);
    EXPECT_EQ(orders_, std::vector<std::int64_t>({0, lag.count()}));
    EXPECT_EQ(correct(), 0ns);
  }
}

TEST_F(GuestClockTest, ATimeThatCannotBeIsRefused) {
  lag_ = 2 * kNoon;
  EXPECT_THROW(correct(), Error);
}

}  // namespace
}  // namespace berth::link
