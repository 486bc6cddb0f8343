#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"
#include "launcher/launcher.hpp"

/// What the launcher's server and its clients must agree on; docs/launcher-api.md.
namespace berth::launcher {

inline constexpr const char* kUpgrade = "berth-interaction";
/// Docker's word for a connection that carries plain bytes.
inline constexpr const char* kUpgradeToBytes = "tcp";
inline constexpr const char* kSocketName = "launcher.sock";

/// The status that stands for an Error's code.
unsigned http_status(Code code);
/// JSON {"code", "message"}.
std::string error_body(const Error& error);
Error parse_error_body(std::string_view body);

std::string format_exec(const ExecRequest& request);
/// Throws invalid-argument.
ExecRequest parse_exec(std::string_view body);

std::string format_copy(const CopyRequest& request);
/// Throws invalid-argument.
CopyRequest parse_copy(std::string_view body);

std::string format_update(const UpdateRequest& request);
/// Throws invalid-argument.
UpdateRequest parse_update(std::string_view body);

/// A name below an open folder, short enough for a socket address however deep the folder is.
std::string socket_path(int folder, const std::string& name);

}  // namespace berth::launcher
