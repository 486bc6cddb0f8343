#pragma once

namespace berth::tether::os {

/// From here on what OpenSSL draws is the kernel's, as what libsodium and the C library draw is: this process
/// keeps no state of a generator, which a clone or a copy of its machine would have as well. Where the kernel
/// gives nothing OpenSSL has nothing either, and fails. Throws internal when OpenSSL cannot be loaded.
/// Loads of it what a fresh clone would need long for: a template does it for its clones.
void use_kernel_generator();

}  // namespace berth::tether::os
