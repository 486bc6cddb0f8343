#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>

#include "base/unique_fd.hpp"

namespace berth::cli {

bool is_terminal(int fd);

struct WindowSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;

  bool operator==(const WindowSize&) const = default;
};

/// Nothing when `fd` is no terminal or has no size.
std::optional<WindowSize> window_size(int fd);

/// Keeps a terminal in raw mode while it lives: keys go through unchanged, Ctrl-C included.
class RawMode {
 public:
  /// Throws invalid-argument when `fd` is no terminal.
  explicit RawMode(int fd);
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
  ~RawMode();

 private:
  UniqueFd terminal_;
  termios before_{};
};

}  // namespace berth::cli
