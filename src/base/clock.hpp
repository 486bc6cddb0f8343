#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace berth {

using Nanoseconds = std::chrono::nanoseconds;

/// Where the time comes from; injected so that tests can hold it still.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Since 1970-01-01 UTC, but for a MonotonicClock.
  virtual Nanoseconds now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Nanoseconds now() const override;
};

/// Counts from the boot and is never set.
class MonotonicClock final : public Clock {
 public:
  Nanoseconds now() const override;
};

/// Moves only when told.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Nanoseconds start = Nanoseconds(0)) : now_(start) {}
  Nanoseconds now() const override { return now_; }
  void advance(Nanoseconds by) { now_ += by; }

 private:
  Nanoseconds now_;
};

/// What is left until then, rounded up; 0 when it has passed.
std::chrono::milliseconds left_until(std::chrono::steady_clock::time_point deadline);

/// RFC 3339 in UTC with nine fraction digits, as Docker writes it.
std::string format_time(Nanoseconds since_epoch);

/// RFC 3339, "2026-01-02", "2026-01-02T15:04:05", Unix seconds with an optional fraction,
/// or a Go duration such as "1h30m" meaning that long before `now`. Throws invalid-argument.
Nanoseconds parse_time(std::string_view text, Nanoseconds now);

/// A Go duration ("90s", "1h30m", "1.5h"). Throws invalid-argument.
Nanoseconds parse_duration(std::string_view text);

/// "3 minutes", "2 hours": Docker's wording for an age.
std::string describe_duration(Nanoseconds duration);

}  // namespace berth
