#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

/// Parts between separators; an empty text gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);

/// Bytes from "64", "512k", "256m", "1g", "2t" (any case, optional b or ib). Throws invalid-argument naming
/// `what`.
std::uint64_t parse_size(std::string_view text, std::string_view what);

/// A whole decimal number within bounds. Throws invalid-argument naming `what`.
std::int64_t parse_integer(std::string_view text, std::int64_t least, std::int64_t most,
                           std::string_view what);

/// "1.5MiB": binary units, as `docker stats` shows memory.
std::string format_binary_size(std::uint64_t bytes);
/// "1.5MB": decimal units, as `docker images` shows sizes.
std::string format_decimal_size(std::uint64_t bytes);

/// FNV-1a: for names and against damage, not against somebody who means harm.
std::uint64_t fnv1a(std::string_view text);

/// Control characters replaced, so that foreign text cannot drive a terminal or break a line.
std::string printable(std::string_view text, std::size_t limit = 4096);

}  // namespace berth
