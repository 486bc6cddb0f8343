#pragma once

#include <memory>

#include "link/ssh.hpp"

namespace berth::link {

/// Carries bytes both ways between a channel and a connected socket, ends of data included, until both ways
/// have ended or one is broken; then both are closed.
Task<> splice(std::shared_ptr<ssh::Channel> channel, UniqueFd socket);

}  // namespace berth::link
