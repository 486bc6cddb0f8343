#include "base/text.hpp"

#include <charconv>
#include <cmath>

#include "base/error.hpp"

namespace berth {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::uint64_t parse_size(std::string_view text, std::string_view what) {
  const auto fail = [&] {
    return Error(Code::invalid_argument, "{} '{}' is not a size: use bytes or a number with k, m, g or t",
                 what, text);
  };
  std::string lower;
  for (const char c : text) lower += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
  double number = 0;
  const auto [stop, failure] = std::from_chars(lower.data(), lower.data() + lower.size(), number);
  if (failure != std::errc{} || !(number >= 0)) throw fail();
  std::string_view unit(stop, static_cast<std::size_t>(lower.data() + lower.size() - stop));
  if (unit.ends_with("ib")) {
    unit.remove_suffix(2);
  } else if (unit.ends_with("b")) {
    unit.remove_suffix(1);
  }
  constexpr std::string_view kUnits = "kmgtp";
  double factor = 1;
  if (!unit.empty()) {
    const std::size_t power = kUnits.find(unit.front());
    if (unit.size() != 1 || power == std::string_view::npos) throw fail();
    factor = std::pow(1024.0, static_cast<double>(power + 1));
  }
  const double bytes = number * factor;
  if (bytes > 9e18) throw fail();
  return static_cast<std::uint64_t>(bytes);
}

std::int64_t parse_integer(std::string_view text, std::int64_t least, std::int64_t most,
                           std::string_view what) {
  std::int64_t value = 0;
  const auto [stop, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || stop != text.data() + text.size() || value < least || value > most) {
    throw Error(Code::invalid_argument, "{} '{}' must be a whole number from {} to {}", what, text, least,
                most);
  }
  return value;
}

namespace {

std::string format_size(double bytes, double step, const char* const (&units)[6]) {
  int unit = 0;
  while (bytes >= step && unit < 5) {
    bytes /= step;
    ++unit;
  }
  std::string number = fmt::format("{:.4g}", bytes);
  return number + units[unit];
}

}  // namespace

std::string format_binary_size(std::uint64_t bytes) {
  return format_size(static_cast<double>(bytes), 1024, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}

std::string format_decimal_size(std::uint64_t bytes) {
  return format_size(static_cast<double>(bytes), 1000, {"B", "kB", "MB", "GB", "TB", "PB"});
}

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const unsigned char c : text) value = (value ^ c) * 0x100000001b3;
  return value;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string clean;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n' || c == '\r' || c == '\t') {
      clean += ' ';
    } else if (byte < 0x20 || byte == 0x7f) {
      clean += '?';
    } else {
      clean += c;
    }
  }
  if (text.size() > limit) clean += "...";
  return clean;
}

}  // namespace berth
