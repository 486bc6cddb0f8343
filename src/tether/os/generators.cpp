#include "tether/os/generators.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/error.hpp"

namespace berth::tether::os {

void load_generators() {
  for (EVP_RAND_CTX* generator :
       {::RAND_get0_primary(nullptr), ::RAND_get0_public(nullptr), ::RAND_get0_private(nullptr)}) {
    if (generator == nullptr)
      throw Error(Code::internal, "OpenSSL's random number generator cannot be loaded");
  }
}

void reseed_generators(std::string_view bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  // RAND_poll(3) does nothing with OpenSSL 3's own generators.
  for (EVP_RAND_CTX* generator :
       {::RAND_get0_primary(nullptr), ::RAND_get0_public(nullptr), ::RAND_get0_private(nullptr)}) {
    if (generator == nullptr || ::EVP_RAND_reseed(generator, 0, nullptr, 0, data, bytes.size()) != 1)
      throw Error(Code::internal, "OpenSSL's random number generator cannot be reseeded");
  }
}

}  // namespace berth::tether::os
