#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace berth {

/// Bytes from getrandom(2).
std::string random_bytes(std::size_t count);

std::string to_hex(std::string_view bytes);

/// 64 lower-case hex digits.
std::string new_id();

/// The 12 digits shown to users.
std::string short_id(std::string_view id);

/// Two words joined by '_', for containers without a name.
std::string random_name();

/// Docker's rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 128 bytes.
bool is_valid_name(std::string_view name);

}  // namespace berth
