#pragma once

#include "tether/session/capabilities.hpp"

namespace berth::tether {

/// Puts the default profile (seccomp_profile.hpp) on the calling thread for good, with the 64-bit system
/// calls that Docker allows beside it for those capabilities. Needs CAP_SYS_ADMIN or no_new_privs.
void install_default_seccomp_filter(CapabilitySet capabilities);

}  // namespace berth::tether
