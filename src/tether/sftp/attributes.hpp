#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "link/wire.hpp"

namespace berth::tether::sftp {

/// A file's attributes; what is absent stays as it is (section 5).
struct Attributes {
  std::optional<std::uint64_t> size;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;  ///< user, group
  std::optional<std::uint32_t> permissions;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> times;  ///< access, modification; seconds since 1970
};

Attributes attributes_of(const struct stat& status);
/// Throws Code::corrupt.
Attributes read_attributes(link::wire::Reader& reader);
void write_attributes(const Attributes& attributes, link::wire::Writer& writer);

/// The line of `ls -l` for a file.
std::string long_name(const std::string& name, const struct stat& status);

}  // namespace berth::tether::sftp
