#include "peer.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "base/error.hpp"
#include "base/io.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

constexpr std::string_view kOwnMac("\x52\x55\x00\x00\x00\x01", 6);
constexpr std::string_view kEveryMac("\xff\xff\xff\xff\xff\xff", 6);
constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint32_t kProbeSequence = 1000;

std::string be16(std::uint32_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string be32(std::uint32_t value) {
  return be16(value >> 16) + be16(value & 0xffff);
}

std::uint32_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint32_t value = 0;
  for (const char c : bytes.substr(at, size)) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

std::uint16_t checksum(std::string_view bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2)
    sum += number(bytes, i, 2) << (i + 1 < bytes.size() ? 0 : 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::string ip_packet(std::uint32_t from, std::uint32_t to, char protocol, std::string_view payload) {
  std::string header("\x45\0", 2);
  header += be16(static_cast<std::uint32_t>(20 + payload.size())) + std::string("\0\0\0\0\x40", 5) + protocol;
  header += be16(0) + be32(from) + be32(to);
  header.replace(10, 2, be16(checksum(header)));
  return header + std::string(payload);
}

std::string tcp_segment(std::uint32_t from, std::uint32_t to, std::uint16_t own_port, std::uint16_t port,
                        std::uint32_t sequence, char flags) {
  std::string segment = be16(own_port) + be16(port) + be32(sequence) + be32(0) + "\x50" + flags + be16(1024) +
                        be16(0) + be16(0);
  const std::string pseudo =
      be32(from) + be32(to) + be16(6) + be16(static_cast<std::uint32_t>(segment.size()));
  segment.replace(16, 2, be16(checksum(pseudo + segment)));
  return ip_packet(from, to, 6, segment);
}

std::string echo(std::uint32_t from, std::uint32_t to, char type, std::string_view rest) {
  std::string message{type, 0};
  message += be16(0) + std::string(rest);
  message.replace(2, 2, be16(checksum(message)));
  return ip_packet(from, to, 1, message);
}

}  // namespace

std::uint32_t ipv4(const char* text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text, &address) != 1) throw Error(Code::invalid_argument, "{}", text);
  return ntohl(address.s_addr);
}

struct Peer::State {
  State(const asio::any_io_executor& executor, UniqueFd own)
      : wire(executor, std::move(own)), changed(executor) {}

  Stream wire;
  UniqueFd machines_end;
  std::string guest_mac;
  Event changed;
  std::set<std::uint32_t> answered;         ///< addresses of which ARP has told since they were asked for
  std::map<std::uint32_t, Answer> answers;  ///< to probes, by their port or number
  std::uint16_t last_probe = 40000;         ///< connections are told apart by it
};

Peer::Peer(const asio::any_io_executor& executor, std::string card_mac) {
  std::array<int, 2> ends{};
  check(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()), "socketpair");
  state_ = std::make_shared<State>(executor, UniqueFd(ends[0]));
  state_->machines_end = UniqueFd(ends[1]);
  for (std::size_t i = 0; i < 6; ++i)
    state_->guest_mac += static_cast<char>(std::stoi(card_mac.substr(i * 3, 2), nullptr, 16));
}

Peer::~Peer() {
  state_->wire.close();
}

hypervisor::NetworkCard Peer::card() {
  hypervisor::NetworkCard card;
  card.backend = hypervisor::NetworkCard::Backend::datagram;
  const auto* mac = reinterpret_cast<const unsigned char*>(state_->guest_mac.data());
  card.mac = fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                         mac[5]);
  card.fd = state_->machines_end.get();
  return card;
}

void Peer::start() {
  state_->machines_end.reset();
  spawn_detached(state_->changed.executor(), "peer", serve(state_));
}

Task<> Peer::serve(std::shared_ptr<State> state) {
  std::string buffer(65536, '\0');
  while (true) {
    co_await state->wire.wait_readable();
    const ssize_t size = ::recv(state->wire.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN)) co_return;
    if (size < 0) continue;
    handle(std::string_view(buffer).substr(0, static_cast<std::size_t>(size)));
    state->changed.notify_all();
  }
}

void Peer::send(std::string_view mac, std::uint16_t type, std::string_view payload) {
  const std::string frame = std::string(mac) + std::string(kOwnMac) + be16(type) + std::string(payload);
  check(::send(state_->wire.fd(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL), "send a frame");
}

void Peer::handle(std::string_view frame) {
  if (frame.size() < 34) return;
  if (number(frame, 12, 2) == kArp && frame.size() >= 42) handle_arp(frame.substr(14));
  if (number(frame, 12, 2) == kIpv4) handle_ip(frame.substr(14));
}

void Peer::handle_arp(std::string_view arp) {
  const std::uint32_t sender = number(arp, 14, 4);
  const std::uint32_t target = number(arp, 24, 4);
  if (number(arp, 6, 2) == 2) {
    state_->answered.insert(sender);
    return;
  }
  ++arp_requests;
  if (!addresses.contains(target)) return;
  send(arp.substr(8, 6), kArp,
       std::string("\0\1\x08\0\6\4\0\2", 8) + std::string(kOwnMac) + be32(target) +
           std::string(arp.substr(8, 10)));
}

void Peer::handle_ip(std::string_view packet) {
  const std::size_t header = (packet[0] & 15u) * 4u;
  const std::size_t total = number(packet, 2, 2);
  if (total > packet.size() || total < header + 8) return;
  const std::uint32_t from = number(packet, 12, 4);
  const std::uint32_t to = number(packet, 16, 4);
  const std::string_view body = packet.substr(header, total - header);
  switch (packet[9]) {
    case 1:
      if (body[0] == 8 && addresses.contains(to))
        send(state_->guest_mac, kIpv4, echo(to, from, 0, body.substr(4)));
      if (body[0] == 0) state_->answers[number(body, 4, 2)] = Answer::accepted;
      if (body[0] == 3 && body.size() >= 36) state_->answers[number(body, 8 + 20, 2)] = Answer::refused;
      break;
    case 6:
      if (body.size() >= 20) handle_tcp(from, to, body);
      break;
    case 17:
      if (number(body, 2, 2) == 67) handle_dhcp(body.substr(8));
      break;
    default:
      break;
  }
}

void Peer::handle_tcp(std::uint32_t from, std::uint32_t to, std::string_view segment) {
  const auto own_port = static_cast<std::uint16_t>(number(segment, 2, 2));
  const bool reset = (segment[13] & 4) != 0;
  state_->answers[own_port] = reset ? Answer::refused : Answer::accepted;
  // Nobody is left waiting.
  const auto port = static_cast<std::uint16_t>(number(segment, 0, 2));
  if (!reset) send(state_->guest_mac, kIpv4, tcp_segment(to, from, own_port, port, kProbeSequence + 1, 4));
}

void Peer::handle_dhcp(std::string_view payload) {
  dhcp_requests.emplace_back(payload);
  if (!dhcp_server) return;
  for (tether::dhcp::TestReply& reply : dhcp_server(payload)) {
    reply.transaction = tether::dhcp::number_at(payload, 4);
    for (std::size_t i = 0; i < reply.mac.size(); ++i)
      reply.mac[i] = static_cast<std::uint8_t>(state_->guest_mac[i]);
    const std::string bytes = reply.bytes();
    const std::string udp =
        be16(67) + be16(68) + be16(static_cast<std::uint32_t>(bytes.size() + 8)) + be16(0) + bytes;
    const std::uint32_t has = tether::dhcp::number_at(payload, 12);
    send(state_->guest_mac, kIpv4, ip_packet(reply.server, has != 0 ? has : 0xffffffff, 17, udp));
  }
}

Task<> Peer::wait_dhcp_requests(std::size_t count) {
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (dhcp_requests.size() < count) {
    if (!co_await state_->changed.wait_until(deadline))
      throw Error(Code::timeout, "{} of {} DHCP requests came", dhcp_requests.size(), count);
  }
}

Task<> Peer::exchange_arp(std::uint32_t from, std::uint32_t to) {
  constexpr Milliseconds kRepetition{500};
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  state_->answered.erase(to);
  const std::string request = std::string("\0\1\x08\0\6\4\0\1", 8) + std::string(kOwnMac) + be32(from) +
                              std::string(6, '\0') + be32(to);
  send(kEveryMac, kArp, request);
  while (!state_->answered.contains(to)) {
    if (std::chrono::steady_clock::now() > deadline)
      throw Error(Code::timeout, "the guest answers no ARP request");
    if (!co_await state_->changed.wait_for(kRepetition)) send(kEveryMac, kArp, request);
  }
}

Task<> Peer::wait_address(std::uint32_t address) {
  co_await exchange_arp(address ^ 1, address);
}

/// The guest takes frames one after the other: when it answers an ARP request that came behind the probe,
/// there is no other answer. One before it tells the guest where the answer goes.
Task<Answer> Peer::probe(std::uint32_t from, std::uint32_t to, std::string packet) {
  const std::uint32_t number = state_->last_probe;
  co_await exchange_arp(from, to);
  send(state_->guest_mac, kIpv4, packet);
  co_await exchange_arp(from, to);
  const auto answer = state_->answers.find(number);
  co_return answer == state_->answers.end() ? Answer::none : answer->second;
}

Task<Answer> Peer::probe_tcp(std::uint32_t from, std::uint32_t to, std::uint16_t port) {
  std::string packet = tcp_segment(from, to, ++state_->last_probe, port, kProbeSequence, 2);
  co_return co_await probe(from, to, std::move(packet));
}

Task<Answer> Peer::probe_udp(std::uint32_t from, std::uint32_t to, std::uint16_t port) {
  const std::string datagram = be16(++state_->last_probe) + be16(port) + be16(9) + be16(0) + "x";
  std::string packet = ip_packet(from, to, 17, datagram);
  co_return co_await probe(from, to, std::move(packet));
}

Task<Answer> Peer::probe_echo(std::uint32_t from, std::uint32_t to) {
  std::string packet = echo(from, to, 8, be16(++state_->last_probe) + be16(1));
  co_return co_await probe(from, to, std::move(packet));
}

}  // namespace berth::tether_test
