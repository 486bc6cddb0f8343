#pragma once

#include <string>

#include "base/async.hpp"

namespace berth {

/// Carries bytes both ways between two connected sockets, ends of data included, until both ways have ended
/// or one is broken. `early` was read from the other one already.
Task<> relay(UniqueFd one, UniqueFd other, std::string early = {});

/// Copies to the end of `from`. Throws Error.
Task<> copy_stream(Stream& from, Stream& to);

}  // namespace berth
