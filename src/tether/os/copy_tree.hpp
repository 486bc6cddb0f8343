#pragma once

namespace berth::tether::os {

/// Copies what is in the directory `from` into the directory `to`, and the owner, mode and times of `from`
/// itself: with owners, modes, times, extended attributes, symbolic and hard links, FIFOs and devices. Does
/// not leave the file system of `from` and follows no link. Throws with the name of what failed.
void copy_tree(int from, int to);

}  // namespace berth::tether::os
