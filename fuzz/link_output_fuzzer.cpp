#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.hpp"
#include "link/output.hpp"

/// The first byte says into how large pieces the rest is cut; no cut may change what is found.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = data[0] + 1u;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto total = [&](std::size_t step) {
    std::size_t found = 0;
    berth::link::OutputParser parser;
    try {
      for (std::size_t at = 0; at < bytes.size(); at += step) {
        parser.feed(bytes.substr(at, step), [&](berth::link::OutputRecord&& record) {
          if (record.payload.size() > berth::link::kOutputPayloadLimit) std::abort();
          found += record.payload.size() + 1;
        });
      }
    } catch (const berth::Error&) {
    }
    return found;
  };
  if (total(piece) != total(bytes.size() + 1)) std::abort();
  return 0;
}
