#pragma once

#include <string>
#include <string_view>

#include "describe/type.hpp"
#include "extraconfig/map_keys.hpp"

/// What encode and decode share.
namespace berth::extraconfig::detail {

/// Kinds with one text: in lists they are joined.
bool is_scalar(describe::Kind kind);

/// Appends the text of a scalar, a time or bytes; false when the value has none.
bool append_text(const describe::Type& type, const void* value, std::string& text);

/// Sets a scalar, a time or bytes; the reason when the text does not do, otherwise nothing.
std::string_view set_text(const describe::Type& type, void* value, std::string_view text);

MapValue map_value(const describe::Type& mapped);

/// Whether the key is of the read-write style, in which a '/' would change who may write it.
bool is_read_write_style(std::string_view key);

[[noreturn]] void throw_corrupt(std::string_view key, std::string_view reason);

}  // namespace berth::extraconfig::detail
