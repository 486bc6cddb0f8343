#include "base/log.hpp"

#define SPDLOG_FMT_EXTERNAL
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/spdlog.h>

namespace berth::log {
namespace {

spdlog::logger& logger() {
  static spdlog::logger instance = [] {
    auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_st>(spdlog::color_mode::never);
    spdlog::logger made("berth", std::move(sink));
    made.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    made.flush_on(spdlog::level::debug);
    return made;
  }();
  return instance;
}

std::string& tag() {
  static std::string instance;
  return instance;
}

spdlog::level::level_enum level_for(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void set_level(Level level) {
  logger().set_level(level_for(level));
}

void set_tag(std::string text) {
  tag() = std::move(text);
}

void write(Level level, std::string_view line) {
  if (tag().empty()) {
    logger().log(level_for(level), "{}", line);
  } else {
    logger().log(level_for(level), "{}: {}", tag(), line);
  }
}

}  // namespace berth::log
