#include "tether/dhcp/message.hpp"

#include <algorithm>
#include <bit>
#include <map>

namespace berth::tether::dhcp {
namespace {

// RFC 2131, figure 1.
constexpr std::size_t kFixedSize = 236;
constexpr std::size_t kTransactionAt = 4;
constexpr std::size_t kYourAddressAt = 16;
constexpr std::size_t kHardwareAt = 28;
constexpr std::size_t kServerNameAt = 44;
constexpr std::size_t kServerNameSize = 64;
constexpr std::size_t kFileAt = 108;
constexpr std::size_t kFileSize = 128;
constexpr std::string_view kCookie("\x63\x82\x53\x63", 4);
/// What every relay forwards, RFC 1542.
constexpr std::size_t kLeastSize = 300;

constexpr char kBootRequest = 1;
constexpr char kBootReply = 2;
constexpr char kEthernet = 1;
constexpr std::uint16_t kLargestReply = 1472;

constexpr std::size_t kMostNameservers = 8;
constexpr std::uint32_t kLeastMtu = 576;

enum Option : std::uint8_t {
  kPad = 0,
  kMask = 1,
  kRouter = 3,
  kNameserver = 6,
  kHostName = 12,
  kMtu = 26,
  kWantedAddress = 50,
  kLeaseTime = 51,
  kOverload = 52,
  kType = 53,
  kServer = 54,
  kParameters = 55,
  kLargestSize = 57,
  kRenewalTime = 58,
  kRebindingTime = 59,
  kClientId = 61,
  kEnd = 255,
};

void put16(std::string& bytes, std::uint16_t value) {
  bytes += static_cast<char>(value >> 8);
  bytes += static_cast<char>(value);
}

void put32(std::string& bytes, std::uint32_t value) {
  put16(bytes, static_cast<std::uint16_t>(value >> 16));
  put16(bytes, static_cast<std::uint16_t>(value));
}

/// `size` bytes, at most 4, which must be there.
std::uint32_t number_at(std::string_view bytes, std::size_t at, std::size_t size = 4) {
  std::uint32_t value = 0;
  for (const char c : bytes.substr(at, size)) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

void put_option(std::string& bytes, Option option, std::string_view value) {
  value = value.substr(0, 255);
  bytes += static_cast<char>(option);
  bytes += static_cast<char>(value.size());
  bytes += value;
}

void put_option(std::string& bytes, Option option, std::uint32_t value) {
  std::string text;
  put32(text, value);
  put_option(bytes, option, text);
}

std::string_view text_of(const Mac& mac) {
  return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

bool is_unicast(std::uint32_t address) {
  const std::uint32_t first = address >> 24;
  return first != 0 && first != 127 && first < 224;
}

using Options = std::map<std::uint8_t, std::string>;

/// Adds the options of one field; the parts of one that comes again belong together (RFC 3396).
void read_options(std::string_view field, Options& options) {
  while (!field.empty()) {
    const auto option = static_cast<std::uint8_t>(field.front());
    field.remove_prefix(1);
    if (option == kPad) continue;
    if (option == kEnd || field.empty()) return;
    const auto size = static_cast<std::uint8_t>(field.front());
    field.remove_prefix(1);
    if (size > field.size()) return;
    options[option].append(field.substr(0, size));
    field.remove_prefix(size);
  }
}

Options options_of(std::string_view bytes) {
  Options options;
  read_options(bytes.substr(kFixedSize + kCookie.size()), options);
  const std::string overload = options[kOverload];
  const int fields = overload.size() == 1 ? overload.front() : 0;
  if ((fields & 1) != 0) read_options(bytes.substr(kFileAt, kFileSize), options);
  if ((fields & 2) != 0) read_options(bytes.substr(kServerNameAt, kServerNameSize), options);
  return options;
}

std::optional<std::uint32_t> number_of(const Options& options, Option option) {
  const auto found = options.find(option);
  if (found == options.end() || found->second.size() != 4) return std::nullopt;
  return number_at(found->second, 0);
}

std::vector<std::uint32_t> addresses_of(const Options& options, Option option) {
  std::vector<std::uint32_t> addresses;
  const auto found = options.find(option);
  if (found == options.end()) return addresses;
  for (std::size_t at = 0; at + 4 <= found->second.size(); at += 4) {
    const std::uint32_t address = number_at(found->second, at);
    if (is_unicast(address)) addresses.push_back(address);
  }
  return addresses;
}

unsigned class_prefix(std::uint32_t address) {
  if ((address & 0x80000000) == 0) return 8;
  return (address & 0x40000000) == 0 ? 16 : 24;
}

unsigned prefix_of(const Options& options, std::uint32_t address) {
  const std::uint32_t mask = number_of(options, kMask).value_or(0);
  const auto bits = static_cast<unsigned>(std::countl_one(mask));
  const bool proper = bits != 0 && std::popcount(mask) == static_cast<int>(bits);
  return proper ? bits : class_prefix(address);
}

bool in_network(std::uint32_t address, std::uint32_t other, unsigned prefix_length) {
  return ((address ^ other) & (0xffffffffu << (32 - prefix_length))) == 0;
}

void read_parameters(const Options& options, Reply& reply) {
  reply.prefix_length = prefix_of(options, reply.address);
  for (const std::uint32_t router : addresses_of(options, kRouter)) {
    const bool usable = router != reply.address && in_network(router, reply.address, reply.prefix_length);
    if (usable && reply.router == 0) reply.router = router;
  }
  reply.nameservers = addresses_of(options, kNameserver);
  if (reply.nameservers.size() > kMostNameservers) reply.nameservers.resize(kMostNameservers);
  const auto mtu = options.find(kMtu);
  if (mtu != options.end() && mtu->second.size() == 2) {
    const std::uint32_t value = number_at(mtu->second, 0, 2);
    if (value >= kLeastMtu) reply.mtu = value;
  }
  reply.lease_seconds = number_of(options, kLeaseTime);
  reply.renewal_seconds = number_of(options, kRenewalTime);
  reply.rebinding_seconds = number_of(options, kRebindingTime);
}

std::uint16_t checksum(std::string_view bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(static_cast<std::uint8_t>(bytes[i])) << 8;
    if (i + 1 < bytes.size()) sum += static_cast<std::uint8_t>(bytes[i + 1]);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

constexpr std::size_t kIpHeader = 20;
constexpr std::size_t kUdpHeader = 8;
constexpr char kUdp = 17;

}  // namespace

std::string encode(const Request& request, const Mac& mac) {
  std::string bytes{kBootRequest, kEthernet, static_cast<char>(mac.size()), 0};
  put32(bytes, request.transaction);
  put16(bytes, request.seconds);
  put16(bytes, 0);
  put32(bytes, request.address);
  bytes.resize(kHardwareAt, '\0');
  bytes += text_of(mac);
  bytes.resize(kFixedSize, '\0');
  bytes += kCookie;
  put_option(bytes, kType, std::string(1, static_cast<char>(request.type)));
  put_option(bytes, kClientId, kEthernet + std::string(text_of(mac)));
  if (request.wanted != 0) put_option(bytes, kWantedAddress, request.wanted);
  if (request.server != 0) put_option(bytes, kServer, request.server);
  if (!request.host_name.empty()) put_option(bytes, kHostName, request.host_name);
  if (request.wants_parameters) {
    std::string size;
    put16(size, kLargestReply);
    put_option(bytes, kLargestSize, size);
    constexpr char kWanted[] = {kMask, kRouter, kNameserver, kMtu, kLeaseTime, kRenewalTime, kRebindingTime};
    put_option(bytes, kParameters, {kWanted, sizeof kWanted});
  }
  bytes += static_cast<char>(kEnd);
  bytes.resize(std::max(bytes.size(), kLeastSize), '\0');
  return bytes;
}

std::optional<Reply> parse(std::string_view bytes, std::uint32_t transaction, const Mac& mac) {
  if (bytes.size() < kFixedSize + kCookie.size()) return std::nullopt;
  const bool ours = bytes[0] == kBootReply && bytes[1] == kEthernet &&
                    bytes[2] == static_cast<char>(mac.size()) &&
                    number_at(bytes, kTransactionAt) == transaction &&
                    bytes.substr(kHardwareAt, mac.size()) == text_of(mac) &&
                    bytes.substr(kFixedSize, kCookie.size()) == kCookie;
  if (!ours) return std::nullopt;
  const Options options = options_of(bytes);
  const auto type = options.find(kType);
  if (type == options.end() || type->second.size() != 1) return std::nullopt;
  Reply reply;
  reply.type = static_cast<Type>(type->second.front());
  reply.server = number_of(options, kServer).value_or(0);
  if (reply.type == Type::refuse) return reply;
  if (reply.type != Type::offer && reply.type != Type::acknowledge) return std::nullopt;
  reply.address = number_at(bytes, kYourAddressAt);
  if (!is_unicast(reply.address) || !is_unicast(reply.server)) return std::nullopt;
  read_parameters(options, reply);
  return reply;
}

std::string make_packet(std::string_view payload, std::uint32_t from, std::uint32_t to) {
  const auto udp_size = static_cast<std::uint16_t>(kUdpHeader + payload.size());
  std::string udp;
  put16(udp, kClientPort);
  put16(udp, kServerPort);
  put16(udp, udp_size);
  put16(udp, 0);
  udp += payload;
  std::string covered;
  put32(covered, from);
  put32(covered, to);
  put16(covered, kUdp);
  put16(covered, udp_size);
  const std::uint16_t udp_sum = checksum(covered + udp);
  // A sum of 0 would mean that there is none.
  const std::uint16_t sent_sum = udp_sum == 0 ? 0xffff : udp_sum;
  udp[6] = static_cast<char>(sent_sum >> 8);
  udp[7] = static_cast<char>(sent_sum);

  std::string packet{0x45, 0x10};  // no options; low delay
  put16(packet, static_cast<std::uint16_t>(kIpHeader + udp.size()));
  put32(packet, 0);
  packet += 64;
  packet += kUdp;
  put16(packet, 0);
  put32(packet, from);
  put32(packet, to);
  const std::uint16_t sum = checksum(packet);
  packet[10] = static_cast<char>(sum >> 8);
  packet[11] = static_cast<char>(sum);
  return packet + udp;
}

std::optional<std::string_view> payload_of(std::string_view packet) {
  if (packet.size() < kIpHeader) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(packet[0]);
  const std::size_t header = (first & 15u) * 4;
  const std::size_t total = number_at(packet, 2, 2);
  const bool whole = first >> 4 == 4 && header >= kIpHeader && total <= packet.size() &&
                     total >= header + kUdpHeader && (number_at(packet, 6, 2) & 0x3fff) == 0;
  if (!whole || packet[9] != kUdp || checksum(packet.substr(0, header)) != 0) return std::nullopt;
  const std::string_view udp = packet.substr(header, total - header);
  const std::size_t size = number_at(udp, 4, 2);
  const bool for_client = number_at(udp, 0, 2) == kServerPort && number_at(udp, 2, 2) == kClientPort;
  if (!for_client || size < kUdpHeader || size > udp.size()) return std::nullopt;
  return udp.substr(kUdpHeader, size - kUdpHeader);
}

}  // namespace berth::tether::dhcp
