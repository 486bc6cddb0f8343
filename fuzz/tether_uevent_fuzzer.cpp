#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tether/os/uevent.hpp"

/// Whatever the datagram is, what is read of it lies within it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::tether::os;
  const std::string_view datagram(reinterpret_cast<const char*>(data), size);
  const auto event = parse_uevent(datagram);
  if (!event) return 0;
  if (event->action.empty() || !event->path.starts_with('/')) __builtin_trap();
  for (const std::string_view part : {event->action, event->path, event->subsystem, event->modalias}) {
    const bool within = part.empty() || (part.data() >= datagram.data() &&
                                         part.data() + part.size() <= datagram.data() + datagram.size());
    if (!within || part.find('\0') != std::string_view::npos) __builtin_trap();
  }
  return 0;
}
