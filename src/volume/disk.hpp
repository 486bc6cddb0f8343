#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/unique_fd.hpp"

namespace berth::volume {

/// Makes a sparse file (mode 0600) of that many bytes with an empty ext4 file system; it must not exist, and
/// is on the disk when this returns. Throws unavailable when mke2fs is missing, capacity when the host's disk
/// is full.
void make_disk(const std::filesystem::path& file, std::uint64_t bytes, const std::string& label);

/// Whether no machine has mounted the file system of a disk of make_disk() for writing yet.
bool is_unused(int file);

/// A volume's disk as one machine holds it: nobody else can take it while this, or a descriptor that a
/// machine has of it, is open.
struct Disk {
  UniqueFd file;
  bool read_only = false;
};

/// Nothing when somebody else holds it. A disk that is wanted for reading alone is writable all the same
/// until it has been filled and then unmounted in order: the guest has to fill it, or to replay its journal.
std::optional<Disk> take_disk(const std::filesystem::path& file, bool read_only);

}  // namespace berth::volume
