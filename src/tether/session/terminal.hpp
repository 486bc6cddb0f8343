#pragma once

#include <string>

#include "base/unique_fd.hpp"
#include "tether/session/process_plan.hpp"

namespace berth::tether {

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
  std::string slave_path;  ///< below /dev/pts of the root it was opened in
};

/// A new terminal of the caller's /dev/pts. Both ends are close-on-exec.
Terminal open_terminal(WindowSize window);

/// Either value 0 is left to the terminal.
void set_window_size(int terminal, WindowSize window);

/// Makes it the controlling terminal of the caller, a session leader.
void take_controlling_terminal(int slave);

}  // namespace berth::tether
