#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

/// One file of a disk as QEMU has it: a block node of the file and, for a format, one above it. Names in the
/// files are not followed.
struct BlockImage {
  std::string node;     ///< the disk's content; of a raw image the file's own
  std::string file;     ///< the file's node
  std::string backing;  ///< the content below; empty: none
  std::int64_t descriptor_set = -1;
  DiskFormat format = DiskFormat::raw;
  bool shared = false;  ///< for reading alone from the start; others may have it, too
  /// QEMU's number of the descriptor for reading alone by which it has a file that it once wrote to.
  std::int64_t sealed_by = -1;
};

/// The files of a disk, the lowest first; `sets` has the descriptor sets of its own file and then of those of
/// Disk::backing, in its order.
std::vector<BlockImage> block_images(const Disk& disk, const std::string& id,
                                     const std::vector<std::int64_t>& sets);

/// The overlay number `number` that is put over `below`.
BlockImage overlay_image(const std::string& id, unsigned number, std::int64_t descriptor_set);

/// Arguments of blockdev-add and blockdev-reopen, the lower node first.
std::vector<boost::json::object> block_nodes(const BlockImage& image);

/// Throws invalid-argument for files that cannot be a disk, capacity for more than kMostLayers.
void check_layers(const Disk& disk);

/// What a guest sees of a file that is open for reading alone, or else for reading and writing: bytes. Throws
/// invalid-argument for one that is not, corrupt for a damaged one.
std::uint64_t image_bytes(int fd, DiskFormat format, bool read_only, const std::string& serial);
/// The same of a disk whose files are all right.
std::uint64_t disk_bytes(const Disk& disk);

}  // namespace berth::hypervisor::qemu
