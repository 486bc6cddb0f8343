#include "cli/terminal.hpp"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::cli {

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

std::optional<WindowSize> window_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return std::nullopt;
  return WindowSize{size.ws_col, size.ws_row};
}

RawMode::RawMode(int fd) : terminal_(duplicate(fd)) {
  if (::tcgetattr(terminal_.get(), &before_) != 0) {
    throw Error(Code::invalid_argument, "the input device is not a TTY");
  }
  termios raw = before_;
  ::cfmakeraw(&raw);
  check(::tcsetattr(terminal_.get(), TCSANOW, &raw), "set the terminal to raw mode");
}

RawMode::~RawMode() {
  while (::tcsetattr(terminal_.get(), TCSANOW, &before_) != 0 && errno == EINTR) {
  }
}

}  // namespace berth::cli
