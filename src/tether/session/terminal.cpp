#include "tether/session/terminal.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <termios.h>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether {

Terminal open_terminal(WindowSize window) {
  Terminal terminal;
  terminal.master = open_file("/dev/pts/ptmx", O_RDWR | O_NOCTTY);
  // The container may have put something else there.
  struct statfs file_system {};
  check(::fstatfs(terminal.master.get(), &file_system), "look at /dev/pts");
  if (file_system.f_type != DEVPTS_SUPER_MAGIC) {
    throw Error(Code::wrong_state, "the container's /dev/pts is not a terminal file system");
  }
  const int unlocked = 0;
  unsigned number = 0;
  check(::ioctl(terminal.master.get(), TIOCSPTLCK, &unlocked), "unlock the terminal");
  check(::ioctl(terminal.master.get(), TIOCGPTN, &number), "number the terminal");
  terminal.slave = UniqueFd(
      check(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "open the terminal"));
  terminal.slave_path = fmt::format("/dev/pts/{}", number);
  set_window_size(terminal.master.get(), window);
  return terminal;
}

void set_window_size(int terminal, WindowSize window) {
  if (window.columns == 0 || window.rows == 0) return;
  const winsize size{window.rows, window.columns, 0, 0};
  check(::ioctl(terminal, TIOCSWINSZ, &size), "set the window size");
}

void take_controlling_terminal(int slave) {
  check(::ioctl(slave, TIOCSCTTY, 0), "take the controlling terminal");
}

}  // namespace berth::tether
