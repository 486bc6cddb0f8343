#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "describe/values.hpp"

/// The texts of single values. Reading is strict: nothing is returned for a text that is not exactly one.
namespace berth::describe {

/// Whether it is well-formed UTF-8, as JSON needs it.
bool is_utf8(std::string_view text);

/// Shortest scientific form that reads back: "0E+00", "3.14E+00", "+Inf", "NaN".
void append_floating(double value, std::string& text);
void append_integer(std::int64_t value, std::string& text);
void append_unsigned(std::uint64_t value, std::string& text);
std::string_view boolean_text(bool value);
/// "2009-11-10 23:00:00.5 +0000 UTC". False, and nothing appended, for a time that would not read back: a
/// year beyond 9999, an offset with seconds, a zone that is not an abbreviation.
bool append_time(const Time& time, std::string& text);
void append_base64(std::string_view bytes, std::string& text);

/// 1 t T TRUE true True 0 f F FALSE false False
std::optional<bool> read_boolean(std::string_view text);
/// Decimal with an optional sign.
std::optional<std::int64_t> read_integer(std::string_view text);
std::optional<std::uint64_t> read_unsigned(std::string_view text);
std::optional<double> read_floating(std::string_view text);
std::optional<Time> read_time(std::string_view text);
/// Standard alphabet with padding; line breaks are skipped.
std::optional<std::string> read_base64(std::string_view text);

}  // namespace berth::describe
