#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.hpp"
#include "link/control.hpp"

/// A document that decodes must encode to the same bytes again, but for keys that came twice.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const berth::link::Document document = berth::link::decode_document(bytes);
    const std::string again = berth::link::encode_document(document);
    const berth::link::Document twice = berth::link::decode_document(std::string_view(again).substr(4));
    if (!(twice.keys == document.keys) || twice.sequence != document.sequence) std::abort();
  } catch (const berth::Error&) {
  }
  return 0;
}
