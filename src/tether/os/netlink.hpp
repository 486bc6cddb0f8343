#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"

namespace berth::tether::os {

/// Bytes of one netlink message: header, body and attributes, each padded as netlink(7) says.
class NetlinkMessage {
 public:
  template <typename Body>
  NetlinkMessage(std::uint16_t type, std::uint16_t flags, const Body& body)
      : NetlinkMessage(type, flags, bytes_of(body)) {}

  void add(std::uint16_t type, std::string_view value);
  /// With a zero byte behind it.
  void add_text(std::uint16_t type, std::string_view value);
  /// In the machine's byte order.
  void add_u32(std::uint16_t type, std::uint32_t value);
  /// In network byte order, as nfnetlink has its numbers.
  void add_be32(std::uint16_t type, std::uint32_t value);
  /// An attribute that holds what is added until end_nested().
  [[nodiscard]] std::size_t begin_nested(std::uint16_t type);
  void end_nested(std::size_t begun);

  /// The whole message under that number.
  std::string_view finish(std::uint32_t sequence);

 private:
  NetlinkMessage(std::uint16_t type, std::uint16_t flags, std::string_view body);
  template <typename Body>
  static std::string_view bytes_of(const Body& body) {
    return {reinterpret_cast<const char*>(&body), sizeof body};
  }
  void put(std::string_view bytes);

  std::string bytes_;
};

/// A netlink socket that asks and waits for the kernel's answer, which comes at once.
class NetlinkSocket {
 public:
  /// `protocol` is NETLINK_ROUTE and so on. Throws.
  explicit NetlinkSocket(int protocol);

  std::uint32_t next_sequence() { return ++sequence_; }
  /// Sends one or more finished messages.
  void send(std::string_view messages, std::string_view doing);
  /// Waits for the acknowledgement of a message: errno, 0 when it was done. Throws what receiving throws.
  int receive_error(std::uint32_t sequence, std::string_view doing);
  /// The first error among the acknowledgements of `first` to `last`, which come in this order; 0 for none.
  int receive_errors(std::uint32_t first, std::uint32_t last, std::string_view doing);
  /// The bodies of all messages that answer an NLM_F_DUMP. Throws the kernel's error.
  std::vector<std::string> receive_dump(std::uint32_t sequence, std::string_view doing);

 private:
  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace berth::tether::os
