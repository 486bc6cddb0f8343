#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "extraconfig/pairs.hpp"

namespace berth::extraconfig {

/// Seals single values with XSalsa20-Poly1305, as NaCl's secretbox does. A sealed value is the base64 of the
/// nonce (24 bytes), the authenticator (16) and the text.
class SealingKey {
 public:
  static constexpr std::size_t kSize = 32;
  static constexpr std::size_t kNonceSize = 24;

  static SealingKey generate();
  /// From base64; throws invalid-argument, without the text in the message.
  static SealingKey parse(std::string_view text);

  SealingKey(const SealingKey&) = default;
  SealingKey& operator=(const SealingKey&) = default;
  ~SealingKey();

  std::string to_string() const;
  /// With a fresh random nonce.
  std::string seal(std::string_view text) const;
  /// With a given nonce, which must never seal two texts.
  std::string seal(std::string_view text, std::string_view nonce) const;
  /// Nothing when the value is damaged or was sealed with another key.
  std::optional<std::string> open(std::string_view sealed) const;

 private:
  SealingKey() = default;
  std::array<unsigned char, kSize> bytes_{};
};

/// Seals the values of secret keys; others pass.
class SealingSink final : public Sink {
 public:
  /// Whether the key itself is put into the sink, at kSealingKeyName, before anything else.
  enum class KeyEntry { write, leave_out };

  SealingSink(Sink& inner, const SealingKey& key, KeyEntry entry = KeyEntry::write);
  void put(std::string_view key, std::string_view value) override;

 private:
  Sink& inner_;
  SealingKey key_;
};

/// Opens the values of secret keys; others pass.
class OpeningSource final : public Source {
 public:
  /// The key entry of the source, if it has one, replaces `key`; a damaged entry throws corrupt.
  OpeningSource(Source& inner, std::optional<SealingKey> key);

  /// Throws corrupt naming the key whose value cannot be opened.
  std::optional<std::string_view> get(std::string_view key) override;
  bool any_below(std::string_view prefix) override { return inner_.any_below(prefix); }

  const std::optional<SealingKey>& key() const { return key_; }

 private:
  Source& inner_;
  std::optional<SealingKey> key_;
  std::string opened_;
};

}  // namespace berth::extraconfig
