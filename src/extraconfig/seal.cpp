#include "extraconfig/seal.hpp"

#include <sodium.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/text.hpp"

namespace berth::extraconfig {
namespace {

static_assert(SealingKey::kSize == crypto_secretbox_KEYBYTES);
static_assert(SealingKey::kNonceSize == crypto_secretbox_NONCEBYTES);

void start_sodium() {
  static const bool started = sodium_init() >= 0;
  if (!started) throw Error(Code::internal, "libsodium cannot be started");
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

}  // namespace

SealingKey SealingKey::generate() {
  start_sodium();
  SealingKey key;
  randombytes_buf(key.bytes_.data(), key.bytes_.size());
  return key;
}

SealingKey SealingKey::parse(std::string_view text) {
  auto bytes = describe::read_base64(text);
  if (!bytes || bytes->size() != kSize) {
    throw Error(Code::invalid_argument, "a sealing key is the base64 of {} bytes", kSize);
  }
  SealingKey key;
  std::copy(bytes->begin(), bytes->end(), key.bytes_.begin());
  sodium_memzero(bytes->data(), bytes->size());
  return key;
}

SealingKey::~SealingKey() {
  sodium_memzero(bytes_.data(), bytes_.size());
}

std::string SealingKey::to_string() const {
  std::string text;
  describe::append_base64({reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}, text);
  return text;
}

std::string SealingKey::seal(std::string_view text) const {
  start_sodium();
  std::string nonce(kNonceSize, '\0');
  randombytes_buf(nonce.data(), nonce.size());
  return seal(text, nonce);
}

std::string SealingKey::seal(std::string_view text, std::string_view nonce) const {
  start_sodium();
  if (nonce.size() != kNonceSize) throw Error(Code::invalid_argument, "a nonce has {} bytes", kNonceSize);
  std::string box(nonce);
  box.resize(kNonceSize + crypto_secretbox_MACBYTES + text.size());
  crypto_secretbox_easy(bytes_of(box) + kNonceSize, bytes_of(text), text.size(), bytes_of(nonce),
                        bytes_.data());
  std::string sealed;
  describe::append_base64(box, sealed);
  return sealed;
}

std::optional<std::string> SealingKey::open(std::string_view sealed) const {
  start_sodium();
  const auto box = describe::read_base64(sealed);
  if (!box || box->size() < kNonceSize + crypto_secretbox_MACBYTES) return std::nullopt;
  const std::string_view content = std::string_view(*box).substr(kNonceSize);
  std::string text(content.size() - crypto_secretbox_MACBYTES, '\0');
  const int failed = crypto_secretbox_open_easy(bytes_of(text), bytes_of(content), content.size(),
                                                bytes_of(*box), bytes_.data());
  if (failed != 0) return std::nullopt;
  return text;
}

SealingSink::SealingSink(Sink& inner, const SealingKey& key, KeyEntry entry) : inner_(inner), key_(key) {
  if (entry == KeyEntry::write) inner_.put(kSealingKeyName, key_.to_string());
}

void SealingSink::put(std::string_view key, std::string_view value) {
  if (is_secret(key)) {
    inner_.put(key, key_.seal(value));
  } else {
    inner_.put(key, value);
  }
}

OpeningSource::OpeningSource(Source& inner, std::optional<SealingKey> key)
    : inner_(inner), key_(std::move(key)) {
  const auto entry = inner_.get(kSealingKeyName);
  if (!entry || entry->empty()) return;
  try {
    key_ = SealingKey::parse(*entry);
  } catch (const Error& error) {
    throw Error(Code::corrupt, "key \"{}\": {}", kSealingKeyName, error.message());
  }
}

std::optional<std::string_view> OpeningSource::get(std::string_view key) {
  const auto value = inner_.get(key);
  if (!value || !is_secret(key)) return value;
  if (!key_)
    throw Error(Code::corrupt, "key \"{}\": the value is sealed and no key is at hand", printable(key, 512));
  auto opened = key_->open(*value);
  if (!opened) {
    throw Error(Code::corrupt, "key \"{}\": the sealed value is damaged or belongs to another sealing key",
                printable(key, 512));
  }
  opened_ = *std::move(opened);
  return opened_;
}

}  // namespace berth::extraconfig
