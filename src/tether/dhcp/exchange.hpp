#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "tether/dhcp/message.hpp"

namespace berth::tether::dhcp {

/// The states of a client (RFC 2131, figure 5) without any input or output: time and packets come in, packets
/// and a lease come out. Times are of any clock that only goes forward.
class Exchange {
 public:
  enum class State { selecting, requesting, bound, renewing, rebinding };

  struct Packet {
    std::string payload;
    std::uint32_t from = 0;  ///< 0 before there is an address
    std::uint32_t to = kBroadcast;
  };
  struct Settings {
    Mac mac{};
    std::string host_name;
    std::function<std::uint32_t()> random;  ///< for transaction numbers and the spread of repetitions
  };

  Exchange(Settings settings, Nanoseconds now);

  State state() const { return state_; }
  /// What the server has lent and has not taken back; its address is there from `bound` on.
  const std::optional<Reply>& lease() const { return lease_; }
  /// When step() has something to do; Nanoseconds::max() for never.
  Nanoseconds deadline() const { return deadline_; }

  /// What time has brought: a packet to send, a lease that is over.
  std::optional<Packet> step(Nanoseconds now);
  /// Takes what came from a server; anything may.
  void receive(std::string_view payload, Nanoseconds now);
  /// Gives the lease back; there is none afterwards.
  std::optional<Packet> release();

 private:
  void select(Nanoseconds now);
  void bind(const Reply& reply);
  Packet discover(Nanoseconds now);
  std::optional<Packet> request(Nanoseconds now);
  std::optional<Packet> extend(Nanoseconds now);
  Packet send(Request request, std::uint32_t to);
  Nanoseconds next_repetition();

  Settings settings_;
  State state_ = State::selecting;
  Nanoseconds deadline_{};
  Nanoseconds began_{};  ///< this search
  std::uint32_t transaction_ = 0;
  unsigned repetitions_ = 0;
  Reply offer_;
  std::optional<Reply> lease_;
  Nanoseconds requested_{};  ///< when this transaction's first request was sent
  Nanoseconds leased_{};     ///< what the lease's times count from
  Nanoseconds renewal_{};
  Nanoseconds rebinding_{};
  Nanoseconds expiry_{};
};

}  // namespace berth::tether::dhcp
