#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "hypervisor/qcow2.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    if (berth::hypervisor::check_overlay_header(bytes) == 0) __builtin_trap();
  } catch (const berth::Error&) {
  }
  return 0;
}
