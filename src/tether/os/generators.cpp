// OpenSSL 3 has another way too, a provider, which is far more and does no more.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "tether/os/generators.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/random.h>

#include <cerrno>
#include <memory>

#include "base/error.hpp"

namespace berth::tether::os {
namespace {

int draw(unsigned char* bytes, int count) {
  while (count > 0) {
    const ssize_t n = ::getrandom(bytes, static_cast<std::size_t>(count), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    bytes += n;
    count -= static_cast<int>(n);
  }
  return 1;
}

// Not left out: OpenSSL would make a generator of its own to take what libssh gives it.
int add(const void*, int, double) {
  return 1;
}

int seed(const void*, int) {
  return 1;
}

int status() {
  return 1;
}

constexpr RAND_METHOD kKernelGenerator{seed, draw, nullptr, add, draw, status};

}  // namespace

void use_kernel_generator() {
  // With the first cipher come its configuration and all of its provider's ciphers.
  const std::unique_ptr<EVP_CIPHER, decltype(&::EVP_CIPHER_free)> cipher(
      ::EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr), &::EVP_CIPHER_free);
  if (!cipher || ::RAND_set_rand_method(&kKernelGenerator) != 1)
    throw Error(Code::internal, "OpenSSL cannot be loaded");
}

}  // namespace berth::tether::os
