#pragma once

namespace berth::tether {

/// Lets the processes of a cgroup v2 directory and of all below it open only the devices that Docker gives a
/// container: null, zero, full, random, urandom, tty, console and terminals. Nodes of others can be made, not
/// opened; so a root with CAP_MKNOD does not reach the machine's disks.
void limit_devices(int cgroup);

}  // namespace berth::tether
