#pragma once

// What tests answer as a DHCP server.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tether/dhcp/message.hpp"

namespace berth::tether::dhcp {

inline constexpr Mac kTestMac{0x52, 0x54, 0, 0, 0, 1};

struct TestReply {
  Type type = Type::offer;
  char operation = 2;
  std::uint32_t transaction = 0x11223344;
  Mac mac = kTestMac;
  std::uint32_t address = 0x0a000005;
  std::uint32_t server = 0x0a000001;
  std::vector<std::pair<std::uint8_t, std::string>> options;

  static std::string number(std::uint32_t value) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(value >> shift);
    return bytes;
  }

  std::string bytes() const {
    std::string text{operation, 1, 6, 0};
    text += number(transaction);
    text.resize(16, '\0');
    text += number(address);
    text.resize(28, '\0');
    text.append(mac.begin(), mac.end());
    text.resize(236, '\0');
    text += "\x63\x82\x53\x63";
    text += {53, 1, static_cast<char>(type)};
    if (server != 0) text += std::string{54, 4} + number(server);
    for (const auto& [option, value] : options) {
      text += static_cast<char>(option);
      text += static_cast<char>(value.size());
      text += value;
    }
    text += '\xff';
    return text;
  }
};

/// The options of what a client sent.
inline std::map<std::uint8_t, std::string> request_options(std::string_view bytes) {
  std::map<std::uint8_t, std::string> options;
  for (std::size_t at = 240; at + 1 < bytes.size() && bytes[at] != '\xff';) {
    const auto size = static_cast<std::uint8_t>(bytes[at + 1]);
    options[static_cast<std::uint8_t>(bytes[at])] = bytes.substr(at + 2, size);
    at += 2u + size;
  }
  return options;
}

inline Type request_type(std::string_view bytes) {
  return static_cast<Type>(request_options(bytes).at(53).front());
}

inline std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (const char c : bytes.substr(at, 4)) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

}  // namespace berth::tether::dhcp
