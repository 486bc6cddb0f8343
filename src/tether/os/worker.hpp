#pragma once

#include <functional>
#include <string>

#include "base/async.hpp"

namespace berth::tether::os {

/// Runs what may block for long in a child process that shares the caller's mounts and files, so that the
/// loop goes on meanwhile. An Error thrown by `work` is thrown here with its code. Throws Code::timeout with
/// `what` past `limit`; the child is killed then. The caller has one thread.
Task<> run_in_worker(std::string what, Milliseconds limit, std::function<void()> work);

/// The same for work that asks servers, which may hold the child beyond its death: then it is left behind and
/// its end not waited for.
Task<> run_in_lossy_worker(std::string what, Milliseconds limit, std::function<void()> work);

}  // namespace berth::tether::os
