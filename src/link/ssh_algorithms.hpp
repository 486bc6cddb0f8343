#pragma once

namespace berth::link::ssh {

// One modern choice each, which OpenSSH has too. Of the ciphers, real processors run both faster than the
// port is, and emulated ones the first (bench-tether).
inline constexpr char kHostKeys[] = "ssh-ed25519";
inline constexpr char kKeyExchange[] = "curve25519-sha256";
inline constexpr char kCiphers[] = "chacha20-poly1305@openssh.com,aes128-gcm@openssh.com";

}  // namespace berth::link::ssh
