#include "base/clock.hpp"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.hpp"

namespace berth {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct Unit {
  std::string_view name;
  double nanoseconds;
};

constexpr Unit kUnits[] = {{"ns", 1.0}, {"us", 1e3}, {"µs", 1e3},  {"ms", 1e6},
                           {"s", 1e9},  {"m", 60e9}, {"h", 3600e9}};

Error bad_time(std::string_view text) {
  return Error(
      Code::invalid_argument,
      "'{}' is not a time: use RFC 3339 (2026-01-02T15:04:05Z), Unix seconds or a duration such as 10m",
      text);
}

/// Reads digits with an optional fraction from the front.
bool take_number(std::string_view& text, double& value) {
  std::size_t end = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
  if (end == 0 || end > 32) return false;
  char* stop = nullptr;
  const std::string digits(text.substr(0, end));
  value = std::strtod(digits.c_str(), &stop);
  text.remove_prefix(end);
  return *stop == '\0';
}

bool take_unit(std::string_view& text, double& nanoseconds) {
  const Unit* best = nullptr;
  for (const Unit& unit : kUnits) {
    if (text.starts_with(unit.name) && (best == nullptr || unit.name.size() > best->name.size()))
      best = &unit;
  }
  if (best == nullptr) return false;
  nanoseconds = best->nanoseconds;
  text.remove_prefix(best->name.size());
  return true;
}

bool find_duration(std::string_view text, Nanoseconds& duration) {
  double total = 0;
  if (text.empty()) return false;
  while (!text.empty()) {
    double value = 0;
    double unit = 0;
    if (!take_number(text, value) || !take_unit(text, unit)) return false;
    total += value * unit;
  }
  if (!(total < 9e18)) return false;
  duration = Nanoseconds(static_cast<std::int64_t>(total));
  return true;
}

/// Nanoseconds of ".123456" at the front of the text.
std::int64_t take_fraction(std::string_view& text) {
  if (text.empty() || text.front() != '.') return 0;
  text.remove_prefix(1);
  std::int64_t value = 0;
  std::int64_t weight = kSecond / 10;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    value += (text.front() - '0') * weight;
    weight /= 10;
    text.remove_prefix(1);
  }
  return value;
}

bool take_zone(std::string_view text, std::int64_t& offset_seconds) {
  offset_seconds = 0;
  if (text.empty() || text == "Z" || text == "z") return true;
  int hours = 0;
  int minutes = 0;
  char sign = 0;
  const std::string zone(text);
  if (std::sscanf(zone.c_str(), "%c%2d:%2d", &sign, &hours, &minutes) != 3) return false;
  if (sign != '+' && sign != '-') return false;
  offset_seconds = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
  return true;
}

}  // namespace

Nanoseconds SystemClock::now() const {
  return std::chrono::system_clock::now().time_since_epoch();
}

Nanoseconds MonotonicClock::now() const {
  return std::chrono::steady_clock::now().time_since_epoch();
}

std::chrono::milliseconds left_until(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, std::chrono::milliseconds(0));
}

std::string format_time(Nanoseconds since_epoch) {
  const std::int64_t total = since_epoch.count();
  const std::int64_t fraction = ((total % kSecond) + kSecond) % kSecond;
  const time_t seconds = static_cast<time_t>((total - fraction) / kSecond);
  tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, fraction);
}

Nanoseconds parse_duration(std::string_view text) {
  Nanoseconds duration{};
  if (!find_duration(text, duration)) {
    throw Error(Code::invalid_argument, "'{}' is not a duration: use for example 90s or 1h30m", text);
  }
  return duration;
}

Nanoseconds parse_time(std::string_view text, Nanoseconds now) {
  Nanoseconds ago{};
  if (find_duration(text, ago)) return now - ago;
  double seconds = 0;
  std::string_view rest = text;
  if (take_number(rest, seconds) && rest.empty() && seconds < 9e9) {
    return Nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  }
  tm parts{};
  const std::string copy(text);
  const char* stop = ::strptime(copy.c_str(), "%Y-%m-%d", &parts);
  if (stop == nullptr) throw bad_time(text);
  if (*stop == 'T' || *stop == ' ') {
    const char* clock = stop + 1;
    stop = ::strptime(clock, "%H:%M:%S", &parts);
    if (stop == nullptr) stop = ::strptime(clock, "%H:%M", &parts);
    if (stop == nullptr) throw bad_time(text);
  }
  std::string_view tail(stop);
  const std::int64_t fraction = take_fraction(tail);
  std::int64_t offset = 0;
  if (!take_zone(tail, offset)) throw bad_time(text);
  return Nanoseconds((::timegm(&parts) - offset) * kSecond + fraction);
}

std::string describe_duration(Nanoseconds duration) {
  const double seconds = static_cast<double>(duration.count()) / 1e9;
  const auto say = [](double amount, std::string_view unit) {
    const auto whole = static_cast<long long>(amount);
    return fmt::format("{} {}{}", whole, unit, whole == 1 ? "" : "s");
  };
  if (seconds < 1) return "Less than a second";
  if (seconds < 60) return say(seconds, "second");
  if (seconds < 120) return "About a minute";
  if (seconds < 3600) return say(seconds / 60, "minute");
  if (seconds < 7200) return "About an hour";
  if (seconds < 48 * 3600) return say(seconds / 3600, "hour");
  if (seconds < 14 * 86400) return say(seconds / 86400, "day");
  if (seconds < 60 * 86400) return say(seconds / (7 * 86400), "week");
  if (seconds < 730 * 86400.0) return say(seconds / (30 * 86400), "month");
  return say(seconds / (365 * 86400.0), "year");
}

}  // namespace berth
