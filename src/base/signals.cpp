#include "base/signals.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <charconv>

namespace berth {
namespace {

struct Name {
  std::string_view name;
  int number;
};

// The first name of a number is the one shown.
constexpr Name kNames[] = {
    {"HUP", 1},   {"INT", 2},    {"QUIT", 3},    {"ILL", 4},   {"TRAP", 5},  {"ABRT", 6},  {"IOT", 6},
    {"BUS", 7},   {"FPE", 8},    {"KILL", 9},    {"USR1", 10}, {"SEGV", 11}, {"USR2", 12}, {"PIPE", 13},
    {"ALRM", 14}, {"TERM", 15},  {"STKFLT", 16}, {"CHLD", 17}, {"CLD", 17},  {"CONT", 18}, {"STOP", 19},
    {"TSTP", 20}, {"TTIN", 21},  {"TTOU", 22},   {"URG", 23},  {"XCPU", 24}, {"XFSZ", 25}, {"VTALRM", 26},
    {"PROF", 27}, {"WINCH", 28}, {"IO", 29},     {"POLL", 29}, {"PWR", 30},  {"SYS", 31}};

// The kernel's numbers: the C library hides the first two real-time signals.
constexpr int kRealTimeLeast = 34;
constexpr int kRealTimeMost = 64;

std::optional<int> number_in(std::string_view digits, int least, int most) {
  int value = 0;
  const auto [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure != std::errc{} || stop != digits.data() + digits.size() || value < least || value > most) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::optional<int> signal_number(std::string_view name) {
  if (auto number = number_in(name, 1, kRealTimeMost)) return number;
  std::string upper;
  for (const char c : name) upper += (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  std::string_view word(upper);
  if (word.starts_with("SIG")) word.remove_prefix(3);
  for (const Name& entry : kNames) {
    if (entry.name == word) return entry.number;
  }
  constexpr int kSpan = kRealTimeMost - kRealTimeLeast;
  if (word == "RTMIN") return kRealTimeLeast;
  if (word == "RTMAX") return kRealTimeMost;
  if (word.starts_with("RTMIN+")) {
    if (auto offset = number_in(word.substr(6), 0, kSpan)) return kRealTimeLeast + *offset;
  }
  if (word.starts_with("RTMAX-")) {
    if (auto offset = number_in(word.substr(6), 0, kSpan)) return kRealTimeMost - *offset;
  }
  return std::nullopt;
}

std::string signal_name(int number) {
  for (const Name& entry : kNames) {
    if (entry.number == number) return fmt::format("SIG{}", entry.name);
  }
  if (number == kRealTimeLeast) return "SIGRTMIN";
  if (number > kRealTimeLeast && number <= kRealTimeMost)
    return fmt::format("SIGRTMIN+{}", number - kRealTimeLeast);
  return fmt::format("signal {}", number);
}

}  // namespace berth
