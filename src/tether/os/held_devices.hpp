#pragma once

namespace berth::tether::os {

/// Disks and network cards get no driver before release_devices(). A machine that waits for its first
/// configuration may be frozen and cloned: what is behind its disks and cards is each clone's own, and is
/// read when the driver takes the device.
void hold_devices();
/// Those that are there get their drivers before this returns, later ones as they come. Again is fine.
void release_devices();

}  // namespace berth::tether::os
