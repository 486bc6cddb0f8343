#pragma once

#include <string>

#include "tether/session/process_plan.hpp"

namespace berth::tether {

/// The caller, alone in new mount, PID, UTS, IPC and cgroup namespaces, gets `root` (a mount point) as its
/// root with the file systems that Docker gives a container: /proc, /sys, /dev and what belongs into them but
/// for cgroups, with Docker's masked and read-only paths, the pod's identity over the machine's, and its
/// kernel settings. Nothing of the mounts outside `root` stays.
void enter_container_root(const std::string& root, const ContainerSettings& settings);

/// The last of those file systems, which shows the caller's cgroup namespace as it is now.
void mount_cgroups();

/// Binds the terminal to /dev/console.
void mount_console(const std::string& slave_path);

/// Makes the root itself read-only; what is mounted below it stays as it is.
void make_root_read_only();

}  // namespace berth::tether
