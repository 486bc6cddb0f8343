#include "image/digest.hpp"

#include <fcntl.h>
#include <openssl/evp.h>

#include <array>
#include <vector>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"

namespace berth::image {

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> evp{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (!context_->evp || EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) != 1)
    throw Error(Code::internal, "cannot start a SHA-256 digest");
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::string_view bytes) {
  if (EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) != 1)
    throw Error(Code::internal, "cannot continue a SHA-256 digest");
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest;
  if (EVP_DigestFinal_ex(context_->evp.get(), digest.data(), nullptr) != 1)
    throw Error(Code::internal, "cannot end a SHA-256 digest");
  return "sha256:" + to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string digest_of(std::string_view bytes) {
  Sha256 sha;
  sha.update(bytes);
  return sha.finish();
}

std::string digest_of_file(const std::filesystem::path& path) {
  UniqueFd file = open_file(path, O_RDONLY);
  Sha256 sha;
  std::vector<char> buffer(256u << 10);
  while (true) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw errno_error("read " + path.string());
    if (count == 0) return sha.finish();
    sha.update({buffer.data(), static_cast<std::size_t>(count)});
  }
}

std::string_view hex_of(std::string_view digest) {
  return digest.substr(digest.find(':') + 1);
}

}  // namespace berth::image
