#pragma once

#include <string>

namespace berth::tether {

/// Sets the host name in the UTS namespace of a process (a pidfd). One that has ended is no error.
void set_hostname_of(int process, const std::string& hostname);

}  // namespace berth::tether
