#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tether/dhcp/exchange.hpp"

/// The input is a row of packets behind a byte of length each (times 4), as they come from a card, with a
/// byte that moves time on. Transaction and address of the client are put in, or nothing would be taken.
/// Whatever comes, a lease has an address that a card can have.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  using namespace berth::tether::dhcp;
  constexpr std::uint32_t kTransaction = 0x01010101;
  constexpr Mac kMac{2, 0, 0, 0, 0, 1};
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Nanoseconds now{};
  Exchange exchange({kMac, "pod", [] { return kTransaction; }}, now);
  while (rest.size() > 2) {
    const std::size_t length = static_cast<std::uint8_t>(rest[0]) * 4u;
    now += std::chrono::seconds(static_cast<std::uint8_t>(rest[1]));
    std::string packet(rest.substr(2, length));
    rest.remove_prefix(2 + packet.size());
    if (const auto payload = payload_of(packet)) exchange.receive(*payload, now);
    if (packet.size() > 34) {
      packet.replace(4, 4, 4, '\1');
      packet.replace(28, 6, std::string(kMac.begin(), kMac.end()));
      exchange.receive(packet, now);
    }
    exchange.step(now);
    const auto& lease = exchange.lease();
    if (!lease) continue;
    if (lease->address == 0 || lease->address >= 0xe0000000 || lease->nameservers.size() > 8)
      __builtin_trap();
    if (lease->prefix_length < 1 || lease->prefix_length > 32) __builtin_trap();
    if (exchange.deadline() < Nanoseconds(0)) __builtin_trap();
  }
  return 0;
}
