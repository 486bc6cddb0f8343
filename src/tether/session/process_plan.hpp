#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tether/session/capabilities.hpp"

namespace berth::tether {

struct WindowSize {
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
  bool operator==(const WindowSize&) const = default;
};

/// A limit of the process itself, for setrlimit(2).
struct ResourceLimit {
  int resource = 0;
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
  std::string name;  ///< for messages
  bool operator==(const ResourceLimit&) const = default;
};

/// What holds for a container as a whole.
struct ContainerSettings {
  std::uint64_t shared_memory = 64u << 20;     ///< bytes of /dev/shm
  std::map<std::string, std::string> sysctls;  ///< see config::check_sysctl
  bool operator==(const ContainerSettings&) const = default;
};

/// What a session's first process is to be; looked up and checked inside the container, by the process
/// itself.
struct ProcessPlan {
  std::string program;                 ///< see find_program_file
  std::vector<std::string> arguments;  ///< argv, its first word included
  /// Instead of both: what the user's shell runs; empty for a login shell (sshd(8), LOGIN PROCESS).
  std::optional<std::string> shell_command;
  bool sftp_server = false;  ///< instead of all these: our own program as an SFTP server
  std::vector<std::string> environment;
  std::string directory;  ///< empty: "/"
  std::string user;       ///< see resolve_user
  std::string group;
  std::string hostname;

  bool terminal = false;
  WindowSize window;
  bool standard_input = false;  ///< a pipe instead of /dev/null

  CapabilitySet capabilities = config::default_capabilities();
  bool no_new_privileges = false;
  bool seccomp = true;  ///< Docker's default filter
  std::vector<std::string> further_groups;
  std::vector<ResourceLimit> limits;
  int oom_score_adj = 0;
  bool read_only_root = false;
  ContainerSettings container;
  bool init = false;  ///< run under an init that forwards signals and reaps
  /// The process waits with everything prepared until Launch::go().
  bool wait_for_go = false;
  bool operator==(const ProcessPlan&) const = default;
};

/// All but the settings of the container, for another process of this program.
std::string encode_plan(const ProcessPlan& plan);
/// The reverse. Throws corrupt.
ProcessPlan decode_plan(std::string_view bytes);

}  // namespace berth::tether
