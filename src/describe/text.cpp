#include "describe/text.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

namespace berth::describe {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr auto kSextets = [] {
  std::array<std::int8_t, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  }
  return table;
}();

template <typename T>
void append_number(T value, std::string& text) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
  text.append(digits.begin(), end);
}

void append_digits(int value, int width, std::string& text) {
  std::array<char, 10> digits;
  for (int i = width - 1; i >= 0; --i, value /= 10) {
    digits[static_cast<std::size_t>(i)] = static_cast<char>('0' + value % 10);
  }
  text.append(digits.data(), static_cast<std::size_t>(width));
}

void append_offset(int seconds, std::string& text) {
  text += seconds < 0 ? '-' : '+';
  const int minutes = std::abs(seconds) / 60;
  append_digits(minutes / 60, 2, text);
  append_digits(minutes % 60, 2, text);
}

/// Reads a text from its start; each step returns false once something does not fit.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool literal(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool digits(std::size_t count, int least, int most, int& value) {
    if (rest_.size() < count) return false;
    value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return false;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return value >= least && value <= most;
  }
  bool fraction(std::int32_t& nanoseconds) {
    if (!literal('.')) return true;
    std::int32_t unit = 100'000'000;
    std::size_t count = 0;
    for (; count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9'; ++count, unit /= 10) {
      if (count == 9) return false;
      nanoseconds += (rest_[count] - '0') * unit;
    }
    rest_.remove_prefix(count);
    return count > 0;
  }
  bool offset(std::int32_t& seconds) {
    const bool negative = !rest_.empty() && rest_.front() == '-';
    int hours = 0;
    int minutes = 0;
    if (!literal(negative ? '-' : '+') || !digits(2, 0, 24, hours) || !digits(2, 0, 59, minutes))
      return false;
    seconds = (hours * 60 + minutes) * 60 * (negative ? -1 : 1);
    return true;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// An abbreviation, or the offset once more for a zone without a name.
bool is_zone(std::string_view text, std::int32_t offset) {
  if (text.empty()) return false;
  if (text.front() == '+' || text.front() == '-') {
    std::string expected;
    append_offset(offset, expected);
    return text == expected || (expected.ends_with("00") && text == std::string_view(expected).substr(0, 3));
  }
  for (const char c : text) {
    if ((c < 'A' || c > 'Z') && (c < 'a' || c > 'z')) return false;
  }
  return text.size() <= 8;
}

bool is_writable(const Time& time) {
  constexpr std::int64_t kYear0 = -62167219200;
  constexpr std::int64_t kYear10000 = 253402300800;
  constexpr std::int32_t kDay = 86400;
  if (time.offset <= -kDay || time.offset >= kDay || time.offset % 60 != 0) return false;
  if (time.seconds < kYear0 + kDay || time.seconds >= kYear10000 - kDay) return false;
  if (time.nanoseconds < 0 || time.nanoseconds > 999'999'999) return false;
  return time.zone.empty() || (is_zone(time.zone, time.offset) && (time.zone != "UTC" || time.offset == 0));
}

/// Length of the well-formed UTF-8 sequence at the start, or 0.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void append_floating(double value, std::string& text) {
  if (std::isnan(value)) {
    text += "NaN";
  } else if (std::isinf(value)) {
    text += value < 0 ? "-Inf" : "+Inf";
  } else {
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.begin(), digits.end(), value, std::chars_format::scientific).ptr;
    for (const char* c = digits.begin(); c != end; ++c) text += *c == 'e' ? 'E' : *c;
  }
}

void append_integer(std::int64_t value, std::string& text) {
  append_number(value, text);
}
void append_unsigned(std::uint64_t value, std::string& text) {
  append_number(value, text);
}
std::string_view boolean_text(bool value) {
  return value ? "true" : "false";
}

bool append_time(const Time& time, std::string& text) {
  using namespace std::chrono;
  if (!is_writable(time)) return false;
  const std::int64_t local = time.seconds + time.offset;
  const std::int64_t day = local >= 0 ? local / 86400 : (local - 86399) / 86400;
  const int second = static_cast<int>(local - day * 86400);
  const year_month_day date{sys_days{days{static_cast<int>(day)}}};
  append_digits(static_cast<int>(date.year()), 4, text);
  text += '-';
  append_digits(static_cast<int>(static_cast<unsigned>(date.month())), 2, text);
  text += '-';
  append_digits(static_cast<int>(static_cast<unsigned>(date.day())), 2, text);
  text += ' ';
  append_digits(second / 3600, 2, text);
  text += ':';
  append_digits(second / 60 % 60, 2, text);
  text += ':';
  append_digits(second % 60, 2, text);
  if (time.nanoseconds != 0) {
    text += '.';
    append_digits(time.nanoseconds, 9, text);
    text.erase(text.find_last_not_of('0') + 1);
  }
  text += ' ';
  append_offset(time.offset, text);
  text += ' ';
  if (time.zone.empty()) {
    append_offset(time.offset, text);
  } else {
    text += time.zone;
  }
  return true;
}

void append_base64(std::string_view bytes, std::string& text) {
  const auto at = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
  const std::size_t begin = text.size();
  text.resize(begin + (bytes.size() + 2) / 3 * 4, '=');
  char* to = text.data() + begin;
  for (std::size_t i = 0; i < bytes.size(); i += 3, to += 4) {
    const unsigned group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    to[0] = kAlphabet[group >> 18];
    to[1] = kAlphabet[group >> 12 & 63];
    if (i + 1 < bytes.size()) to[2] = kAlphabet[group >> 6 & 63];
    if (i + 2 < bytes.size()) to[3] = kAlphabet[group & 63];
  }
}

std::optional<bool> read_boolean(std::string_view text) {
  if (text == "true" || text == "1" || text == "t" || text == "T" || text == "TRUE" || text == "True")
    return true;
  if (text == "false" || text == "0" || text == "f" || text == "F" || text == "FALSE" || text == "False")
    return false;
  return std::nullopt;
}

namespace {

/// Decimal with an optional sign.
template <typename T>
std::optional<T> read_number(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::int64_t> read_integer(std::string_view text) {
  return read_number<std::int64_t>(text);
}
std::optional<std::uint64_t> read_unsigned(std::string_view text) {
  return read_number<std::uint64_t>(text);
}
std::optional<double> read_floating(std::string_view text) {
  return read_number<double>(text);
}

std::optional<Time> read_time(std::string_view text) {
  using namespace std::chrono;
  Scanner scan(text);
  Time time;
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  const bool fits = scan.digits(4, 0, 9999, y) && scan.literal('-') && scan.digits(2, 1, 12, mo) &&
                    scan.literal('-') && scan.digits(2, 1, 31, d) && scan.literal(' ') &&
                    scan.digits(2, 0, 23, h) && scan.literal(':') && scan.digits(2, 0, 59, mi) &&
                    scan.literal(':') && scan.digits(2, 0, 59, s) && scan.fraction(time.nanoseconds) &&
                    scan.literal(' ') && scan.offset(time.offset) && scan.literal(' ') &&
                    is_zone(scan.rest(), time.offset);
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)), day(static_cast<unsigned>(d))};
  if (!fits || !date.ok()) return std::nullopt;
  std::string unnamed;
  append_offset(time.offset, unnamed);
  time.zone = scan.rest() == unnamed ? "" : std::string(scan.rest());
  if (time.zone == "UTC") time.offset = 0;
  const std::int64_t days_since = sys_days(date).time_since_epoch().count();
  time.seconds = days_since * 86400 + h * 3600 + mi * 60 + s - time.offset;
  return time;
}

std::optional<std::string> read_base64(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  char* to = bytes.data();
  const auto add = [&to](unsigned byte) { *to++ = static_cast<char>(byte & 255); };
  const auto sextet_at = [&](std::size_t i) { return int{kSextets[static_cast<unsigned char>(text[i])]}; };
  // Whole groups, as long as there is nothing else.
  for (; text.size() >= 4; text.remove_prefix(4)) {
    const int group = sextet_at(0) << 18 | sextet_at(1) << 12 | sextet_at(2) << 6 | sextet_at(3);
    if (group < 0) break;
    add(static_cast<unsigned>(group) >> 16);
    add(static_cast<unsigned>(group) >> 8);
    add(static_cast<unsigned>(group));
  }
  unsigned group = 0;
  int count = 0;
  int padding = 0;
  for (const char c : text) {
    const int sextet = kSextets[static_cast<unsigned char>(c)];
    if (sextet >= 0 && padding == 0) {
      group = group << 6 | static_cast<unsigned>(sextet);
      if (++count < 4) continue;
      add(group >> 16);
      add(group >> 8);
      add(group);
      count = 0;
    } else if (c == '=') {
      ++padding;
    } else if (c != '\n' && c != '\r') {
      return std::nullopt;
    }
  }
  if (count == 1 || (count == 0 ? padding != 0 : padding != 4 - count)) return std::nullopt;
  if (count >= 2) add(group >> (count == 2 ? 4 : 10));
  if (count == 3) add(group >> 2);
  bytes.resize(static_cast<std::size_t>(to - bytes.data()));
  return bytes;
}

}  // namespace berth::describe
