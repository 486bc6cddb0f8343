#pragma once

#include "base/files.hpp"
#include "base/process.hpp"
#include "launcher/launcher.hpp"

namespace berth::launcher {

/// Descriptors a launcher is started with.
inline constexpr int kClientDescriptor = 3;  ///< its first client, connected
inline constexpr int kLockDescriptor = 4;    ///< the pod's lock, held

struct LaunchArguments {
  Launcher::Settings settings;
};

/// The command line that parse_launch_arguments reads.
std::vector<std::string> launch_arguments(const Launcher::Settings& settings);
/// Throws invalid-argument.
LaunchArguments parse_launch_arguments(int argc, char** argv);

/// Starts the pod's launcher, which takes over the lock and lives on without its parent. Makes the runtime
/// folder. Returns the first client's end of the connection.
UniqueFd start_launcher(const Launcher::Settings& settings, FileLock lock);

}  // namespace berth::launcher
