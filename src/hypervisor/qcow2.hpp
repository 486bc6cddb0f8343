#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace berth::hypervisor {

// The overlays of disks: images of QEMU's format qcow2, version 3 (docs/interop/qcow2.txt of QEMU) with
// subclusters, so that a guest's small write copies nothing from below. They name neither a backing nor a
// data file: whoever starts a machine says what is below.

/// As much of an image as check_overlay_header() wants.
inline constexpr std::size_t kOverlayHeaderBytes = 104;

/// Makes the empty file an overlay of that many bytes (whole sectors of 512) in which nothing is written yet;
/// always the same bytes.
void make_overlay(int fd, std::uint64_t bytes);

/// Whether the file is as make_overlay() made it.
bool is_untouched_overlay(int fd, std::uint64_t bytes);

/// The bytes that the guest sees. A guest that has broken out of its machine may have written the header, and
/// QEMU would open the files it names: throws corrupt for all that make_overlay() does not make.
std::uint64_t check_overlay_header(std::string_view header);
/// The same of a file.
std::uint64_t check_overlay(int fd);

}  // namespace berth::hypervisor
