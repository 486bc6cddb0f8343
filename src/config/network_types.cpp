#include "config/network_types.hpp"

#include <arpa/inet.h>

#include <array>
#include <bit>
#include <charconv>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::config {
namespace {

constexpr std::string_view kMappedPrefix("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);

/// The 4 bytes of an IPv4 address in either form, otherwise what is there.
std::string_view shortest(std::string_view bytes) {
  if (bytes.size() == 16 && bytes.starts_with(kMappedPrefix)) bytes.remove_prefix(kMappedPrefix.size());
  return bytes;
}

std::string text_of(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (bytes.size() != 4 && bytes.size() != 16) return {};
  inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

/// No bytes for an empty text.
std::optional<std::string> bytes_of(std::string_view text) {
  const std::string copy(text);
  std::array<char, 16> bytes{};
  if (copy.empty()) return copy;
  if (copy.find('\0') != copy.npos) return std::nullopt;
  if (inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 4);
  if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return std::string(bytes.data(), 16);
  return std::nullopt;
}

}  // namespace

IpAddress IpAddress::parse(std::string_view text) {
  auto bytes = bytes_of(text);
  if (!bytes || bytes->empty())
    throw Error(Code::invalid_argument, "\"{}\" is not an IP address", printable(text, 64));
  IpAddress result;
  result.data = *std::move(bytes);
  return result;
}

IpAddress IpAddress::v4(std::uint32_t number) {
  IpAddress result;
  for (const int shift : {24, 16, 8, 0}) result.data += static_cast<char>(number >> shift & 255);
  return result;
}

bool IpAddress::is_v4() const {
  return shortest(data).size() == 4;
}

std::uint32_t IpAddress::v4_number() const {
  if (!is_v4()) throw Error(Code::invalid_argument, "{} is not an IPv4 address", to_string());
  std::uint32_t number = 0;
  for (const char c : shortest(data)) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

std::string IpAddress::to_string() const {
  return text_of(shortest(data));
}

std::string IpAddress::text() const {
  return text_of(data);
}

bool IpAddress::set_text(std::string_view text) {
  const auto bytes = bytes_of(text);
  if (bytes) data = *bytes;
  return bytes.has_value();
}

bool IpMask::set_text(std::string_view text) {
  const auto bytes = bytes_of(text);
  if (bytes) data = *bytes;
  return bytes.has_value();
}

IpMask IpMask::of(int bits, int size) {
  IpMask result;
  for (int i = 0; i < size; ++i, bits -= 8) {
    const int ones = bits < 0 ? 0 : bits > 8 ? 8 : bits;
    result.data += static_cast<char>(0xff00 >> ones & 255);
  }
  return result;
}

std::optional<int> IpMask::bits() const {
  int count = 0;
  for (const char c : data) count += std::countl_one(static_cast<unsigned char>(c));
  if (data.empty() || *this != of(count, static_cast<int>(data.size()))) return std::nullopt;
  return count;
}

IpNetwork IpNetwork::parse(std::string_view text) {
  const auto slash = text.find('/');
  IpNetwork result{IpAddress::parse(text.substr(0, slash)), {}};
  const int size = static_cast<int>(result.ip.data.size());
  const std::string_view length = slash == text.npos ? std::string_view("?") : text.substr(slash + 1);
  const auto bits = parse_integer(length, 0, size * 8, "the prefix length");
  result.mask = IpMask::of(static_cast<int>(bits), size);
  return result;
}

std::string IpNetwork::to_string() const {
  if (empty()) return {};
  const auto bits = mask.bits();
  return bits ? ip.to_string() + '/' + std::to_string(*bits) : ip.to_string();
}

bool IpNetwork::contains(const IpAddress& address) const {
  const std::string_view network = shortest(ip.data);
  const std::string_view candidate = shortest(address.data);
  std::string_view bits = mask.data;
  if (bits.size() == 16 && network.size() == 4) bits.remove_prefix(12);
  if (network.empty() || network.size() != candidate.size() || bits.size() != network.size()) return false;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (((network[i] ^ candidate[i]) & bits[i]) != 0) return false;
  }
  return true;
}

}  // namespace berth::config
