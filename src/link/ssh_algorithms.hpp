#pragma once

namespace berth::link::ssh {

// One modern choice each, which OpenSSH has too, and a fallback where the processor has no AES instructions.
inline constexpr char kHostKeys[] = "ssh-ed25519";
inline constexpr char kKeyExchange[] = "curve25519-sha256";
inline constexpr char kCiphers[] = "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com";

}  // namespace berth::link::ssh
