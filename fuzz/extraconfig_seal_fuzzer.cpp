#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "config/appliance.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/seal.hpp"

/// The input as a sealed value, as a sealing key, and as a text to be sealed.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extraconfig;
  static const SealingKey key = SealingKey::parse("FRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tng5+4=");
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (key.open(key.seal(text)) != text) __builtin_trap();
  const auto opened = key.open(text);
  for (const std::string& name :
       {std::string("guestinfo.vice./token@secret"), std::string(kSealingKeyName)}) {
    const Pairs pairs = {{name, text}};
    berth::config::Connection connection;
    try {
      PairsSource inner(pairs);
      OpeningSource source(inner, key);
      decode(source, connection);
      if (is_secret(name) && connection.token != opened) __builtin_trap();
    } catch (const berth::Error& error) {
      if (error.code() != berth::Code::corrupt) __builtin_trap();
    }
  }
  return 0;
}
