#pragma once

#include "base/unique_fd.hpp"
#include "link/ssh.hpp"

namespace berth::tether {

/// A TCP connection to "localhost" or a numeric address as the pod sees it. It may still be under way; one
/// that is refused at once is not: throws unavailable. Throws invalid-argument for other names, which nothing
/// here could look up without waiting.
UniqueFd connect_in_pod(const link::ssh::ForwardTarget& target);

}  // namespace berth::tether
