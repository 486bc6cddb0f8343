#pragma once

#include <string_view>

namespace berth::tether::os {

/// Loads OpenSSL and makes its generators, which takes a fresh clone longer than all else that it does with
/// them: a template does it for its clones.
void load_generators();

/// Reseeds the generators of this process, which a clone of its machine has in the same state: OpenSSL's,
/// the primary one and those for public and private values. After add_entropy(), as they take bytes of the
/// kernel as well. libsodium and the C library keep no state, they ask the kernel each time.
void reseed_generators(std::string_view bytes);

}  // namespace berth::tether::os
