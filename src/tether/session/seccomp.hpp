#pragma once

namespace berth::tether {

/// Puts the default profile (seccomp_profile.hpp) on the calling thread for good. Needs CAP_SYS_ADMIN or
/// no_new_privs.
void install_default_seccomp_filter();

}  // namespace berth::tether
