#pragma once

#include <string>

#include "base/async.hpp"

/// After a connection over a port broke, bytes of it may be under way in both directions. Before the next one
/// each end sends a line with a token that both know, and skips what comes before the other's.
namespace berth::link {

Task<> send_token(Stream& port, std::string token);
/// Throws corrupt when something follows the token at once: nobody may speak before both have seen it.
Task<> skip_past_token(Stream& port, std::string token);

}  // namespace berth::link
