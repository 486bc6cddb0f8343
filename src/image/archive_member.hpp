#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace berth::image {

/// The content of one regular file in a tar archive (plain, gzip or zstd), or nothing. Throws corrupt for a
/// file that is no archive and capacity beyond `limit` bytes.
std::optional<std::string> read_archive_member(const std::filesystem::path& archive,
                                               const std::string& member, std::size_t limit);

}  // namespace berth::image
