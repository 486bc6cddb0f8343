#include "tether/os/wall_clock.hpp"

#include <sys/time.h>
#include <sys/timex.h>

#include <ctime>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether::os {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

/// So far that no sum with the clock's own time overflows.
constexpr std::int64_t kMostOffset = std::int64_t{1} << 61;

/// The fraction is never negative.
timespec split_time(std::int64_t nanoseconds) {
  timespec time{nanoseconds / kSecond, nanoseconds % kSecond};
  if (time.tv_nsec < 0) {
    time.tv_nsec += kSecond;
    --time.tv_sec;
  }
  return time;
}

}  // namespace

void set_wall_clock(Nanoseconds since_epoch) {
  if (since_epoch.count() <= 0) throw Error(Code::invalid_argument, "the clock cannot be set to before 1970");
  const timespec time = split_time(since_epoch.count());
  check(::clock_settime(CLOCK_REALTIME, &time), "set the clock");
}

void correct_wall_clock(Nanoseconds offset) {
  if (offset.count() > kMostOffset || offset.count() < -kMostOffset)
    throw Error(Code::invalid_argument, "the clock cannot be wrong by that much");
  const timespec by = split_time(offset.count());
  if (std::chrono::abs(offset) < kStepFrom) {
    const timeval slow{by.tv_sec, by.tv_nsec / 1000};
    check(::adjtime(&slow, nullptr), "correct the clock");
    return;
  }
  // By a difference, so that it does not matter how long the order was on its way.
  timex change{};
  change.modes = ADJ_SETOFFSET | ADJ_NANO;
  change.time = {by.tv_sec, by.tv_nsec};
  check(::clock_adjtime(CLOCK_REALTIME, &change), "set the clock");
}

Nanoseconds wall_clock() {
  timespec now{};
  check(::clock_gettime(CLOCK_REALTIME, &now), "read the clock");
  return Nanoseconds(now.tv_sec * kSecond + now.tv_nsec);
}

Nanoseconds correction_left() {
  timeval left{};
  check(::adjtime(nullptr, &left), "read the clock's correction");
  return std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec);
}

}  // namespace berth::tether::os
