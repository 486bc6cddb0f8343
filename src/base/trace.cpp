#include "base/trace.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/unique_fd.hpp"

namespace berth::trace {
namespace {

UniqueFd open_trace(const char* file) {
  return UniqueFd(file != nullptr && *file != '\0'
                      ? ::open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)
                      : -1);
}

UniqueFd& file() {
  static UniqueFd opened = open_trace(::getenv(kVariable));
  return opened;
}

std::int64_t now_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

void write_span(std::string_view name, std::int64_t begin, std::int64_t end) {
  // Names are ours and need no escapes. A line is one write, which O_APPEND keeps whole.
  const std::string line =
      fmt::format("{{\"process\":\"{}\",\"pid\":{},\"name\":\"{}\",\"begin_us\":{},\"end_us\":{}}}\n",
                  program_invocation_short_name, ::getpid(), name, begin, end);
  [[maybe_unused]] const ssize_t n = ::write(file().get(), line.data(), line.size());
}

}  // namespace

void write_to(const std::string& path) {
  file() = open_file(path, O_WRONLY | O_CREAT | O_APPEND);
  check(::setenv(kVariable, path.c_str(), 1), "setenv");
}

bool is_on() {
  return static_cast<bool>(file());
}

Span::Span(std::string_view name) {
  if (!is_on()) return;
  name_ = name;
  begin_ = now_of(CLOCK_MONOTONIC);
}

void Span::done() {
  if (begin_ < 0) return;
  write_span(name_, begin_, now_of(CLOCK_MONOTONIC));
  begin_ = -1;
}

void since_start(std::string_view name) {
  if (!is_on()) return;
  // The kernel tells the start in ticks of the boot clock.
  const auto ticks = static_cast<std::int64_t>(process_start_ticks(::getpid()));
  const std::int64_t suspended = now_of(CLOCK_BOOTTIME) - now_of(CLOCK_MONOTONIC);
  const std::int64_t begin = ticks * 1'000'000 / ::sysconf(_SC_CLK_TCK) - suspended;
  write_span(name, begin, now_of(CLOCK_MONOTONIC));
}

}  // namespace berth::trace
