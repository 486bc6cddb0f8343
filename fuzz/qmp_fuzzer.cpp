#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"
#include "hypervisor/qemu/qmp_message.hpp"

namespace {

/// The messages in `bytes` when they come in pieces of that size; -1 when they are refused.
long count_messages(std::string_view bytes, std::size_t piece) {
  berth::hypervisor::qemu::QmpReader reader;
  long count = 0;
  try {
    while (!bytes.empty()) {
      const std::string_view next = bytes.substr(0, piece);
      bytes.remove_prefix(next.size());
      reader.append(next);
      while (reader.next()) ++count;
    }
  } catch (const berth::Error&) {
    return -1;
  }
  return count;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  // How the bytes are cut must not change what they mean.
  if (count_messages(bytes, data[0] + std::size_t{1}) != count_messages(bytes, bytes.size() + 1))
    __builtin_trap();
  return 0;
}
