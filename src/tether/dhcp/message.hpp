#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of RFC 2131 and RFC 2132, as much as a client of Ethernet needs. Addresses are in host byte
/// order, 0 for none.
namespace berth::tether::dhcp {

inline constexpr std::uint16_t kServerPort = 67;
inline constexpr std::uint16_t kClientPort = 68;
inline constexpr std::uint32_t kBroadcast = 0xffffffff;
/// A lease or timer without end.
inline constexpr std::uint32_t kInfinite = 0xffffffff;

using Mac = std::array<std::uint8_t, 6>;

enum class Type : std::uint8_t {
  discover = 1,
  offer = 2,
  request = 3,
  decline = 4,
  acknowledge = 5,
  refuse = 6,
  release = 7,
};

/// What a client says.
struct Request {
  Type type = Type::discover;
  std::uint32_t transaction = 0;
  std::uint16_t seconds = 0;      ///< since the client began
  std::uint32_t address = 0;      ///< that the client has
  std::uint32_t wanted = 0;       ///< that it asks for
  std::uint32_t server = 0;       ///< that it speaks to
  std::string host_name;          ///< at most 255 bytes are sent
  bool wants_parameters = false;  ///< asks for mask, router, name servers and MTU
};

/// What a server says; the fields are checked one by one, and a value that cannot be is left out.
struct Reply {
  Type type = Type::offer;
  std::uint32_t address = 0;  ///< a unicast address; 0 in a refusal
  std::uint32_t server = 0;
  unsigned prefix_length = 0;  ///< that of the address's class when the server named none
  std::uint32_t router = 0;    ///< within the address's network
  std::vector<std::uint32_t> nameservers;
  std::uint32_t mtu = 0;
  std::optional<std::uint32_t> lease_seconds;
  std::optional<std::uint32_t> renewal_seconds;
  std::optional<std::uint32_t> rebinding_seconds;
};

std::string encode(const Request& request, const Mac& mac);

/// An offer, an acknowledgement or a refusal that answers `transaction` of `mac`; nothing for anything else.
/// Reads any bytes and never more than there are.
std::optional<Reply> parse(std::string_view bytes, std::uint32_t transaction, const Mac& mac);

/// An IPv4 packet from the client port to the server port.
std::string make_packet(std::string_view payload, std::uint32_t from, std::uint32_t to);
/// What an IPv4 packet from a server to the client port carries. The checksum of UDP is not looked at:
/// between machines of one host it is often left for a network card to fill in.
std::optional<std::string_view> payload_of(std::string_view packet);

}  // namespace berth::tether::dhcp
