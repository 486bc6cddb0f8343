#pragma once

#include <cstdint>
#include <filesystem>

namespace berth::tether::os {

/// Brings files below a folder into the page cache, in the order of their names, until about `limit` bytes
/// are in it. What cannot be read is left out. Returns how many bytes were read.
std::uint64_t read_ahead(const std::filesystem::path& folder, std::uint64_t limit);

}  // namespace berth::tether::os
