#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tether/session/capabilities.hpp"

namespace berth::tether {

struct WindowSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
};

/// What a session's first process is to be; looked up and checked inside the container, by the process
/// itself.
struct ProcessPlan {
  std::string program;                 ///< see find_program_file
  std::vector<std::string> arguments;  ///< argv, its first word included
  std::vector<std::string> environment;
  std::string directory;  ///< empty: "/"
  std::string user;       ///< see resolve_user
  std::string group;
  std::string hostname;

  bool terminal = false;
  WindowSize window;
  bool standard_input = false;  ///< a pipe instead of /dev/null

  CapabilitySet capabilities = default_capabilities();
  bool no_new_privileges = false;
  bool read_only_root = false;
  bool init = false;  ///< run under an init that forwards signals and reaps
  /// The process waits with everything prepared until Launch::go().
  bool wait_for_go = false;
};

}  // namespace berth::tether
