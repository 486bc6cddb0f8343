#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace berth::log {

enum class Level { debug, info, warning, error };

/// Lines go to standard error from `level` on. Never log a secret.
void set_level(Level level);
/// A word in front of every line, e.g. the pod's short id.
void set_tag(std::string tag);
void write(Level level, std::string_view line);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace berth::log
