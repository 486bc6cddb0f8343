#include "tether/os/netlink.hpp"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "base/error.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kMostAttribute = UINT16_MAX;

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t type, std::uint16_t flags, std::string_view body) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
  put(bytes_of(header));
  put(body);
}

void NetlinkMessage::put(std::string_view bytes) {
  bytes_.append(bytes);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()), '\0');
}

void NetlinkMessage::add(std::uint16_t type, std::string_view value) {
  if (value.size() > kMostAttribute - NLA_HDRLEN)
    throw Error(Code::invalid_argument, "a netlink attribute of {} bytes is too long", value.size());
  nlattr attribute{};
  attribute.nla_type = type;
  attribute.nla_len = static_cast<std::uint16_t>(NLA_HDRLEN + value.size());
  put(bytes_of(attribute));
  put(value);
}

void NetlinkMessage::add_text(std::uint16_t type, std::string_view value) {
  add(type, std::string(value) + '\0');
}

void NetlinkMessage::add_u32(std::uint16_t type, std::uint32_t value) {
  add(type, bytes_of(value));
}

void NetlinkMessage::add_be32(std::uint16_t type, std::uint32_t value) {
  add_u32(type, ::htonl(value));
}

std::size_t NetlinkMessage::begin_nested(std::uint16_t type) {
  const std::size_t begun = bytes_.size();
  add(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
  return begun;
}

void NetlinkMessage::end_nested(std::size_t begun) {
  const std::size_t size = bytes_.size() - begun;
  if (size > kMostAttribute) throw Error(Code::invalid_argument, "netlink attributes are too long together");
  reinterpret_cast<nlattr*>(bytes_.data() + begun)->nla_len = static_cast<std::uint16_t>(size);
}

std::string_view NetlinkMessage::finish(std::uint32_t sequence) {
  auto* header = reinterpret_cast<nlmsghdr*>(bytes_.data());
  header->nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
  header->nlmsg_seq = sequence;
  return bytes_;
}

NetlinkSocket::NetlinkSocket(int protocol)
    : socket_(check(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "open a netlink socket")) {}

void NetlinkSocket::send(std::string_view messages, std::string_view doing) {
  check(::send(socket_.get(), messages.data(), messages.size(), 0), doing);
}

int NetlinkSocket::receive_error(std::uint32_t sequence, std::string_view doing) {
  return receive_errors(sequence, sequence, doing);
}

int NetlinkSocket::receive_errors(std::uint32_t first, std::uint32_t last, std::string_view doing) {
  // An error repeats the message it is about, of which the header is enough.
  alignas(nlmsghdr) std::array<char, 8192> buffer;
  while (true) {
    const auto size = check(::recv(socket_.get(), buffer.data(), buffer.size(), 0), doing);
    auto left = static_cast<unsigned>(size);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      const bool ours = header->nlmsg_seq >= first && header->nlmsg_seq <= last;
      if (!ours || header->nlmsg_type != NLMSG_ERROR) continue;
      const int failure = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
      if (failure != 0 || header->nlmsg_seq == last) return failure;
    }
  }
}

std::vector<std::string> NetlinkSocket::receive_dump(std::uint32_t sequence, std::string_view doing) {
  alignas(nlmsghdr) std::array<char, 32768> buffer;
  std::vector<std::string> bodies;
  while (true) {
    const auto size = check(::recv(socket_.get(), buffer.data(), buffer.size(), 0), doing);
    auto left = static_cast<unsigned>(size);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq != sequence) continue;
      if (header->nlmsg_type == NLMSG_DONE) return bodies;
      const auto* body = static_cast<const char*>(NLMSG_DATA(header));
      if (header->nlmsg_type == NLMSG_ERROR)
        throw errno_error(doing, -reinterpret_cast<const nlmsgerr*>(body)->error);
      bodies.emplace_back(body, header->nlmsg_len - NLMSG_LENGTH(0));
    }
  }
}

}  // namespace berth::tether::os
