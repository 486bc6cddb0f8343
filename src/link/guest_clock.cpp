#include "link/guest_clock.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"

namespace berth::link {
namespace {

/// Less than that is not worth a correction.
constexpr Nanoseconds kLeastOffset = std::chrono::milliseconds(10);

Task<GuestClock> order_clock(const OrderSender& send, Nanoseconds offset) {
  Order order;
  order.verb = verb::clock;
  order.offset = offset.count();
  GuestClock answer;
  extraconfig::decode(co_await send(std::move(order)), answer);
  if (answer.time <= 0) throw Error(Code::corrupt, "the guest says a time that cannot be");
  co_return answer;
}

}  // namespace

Nanoseconds clock_offset(const ClockReading& reading) {
  const Nanoseconds round_trip = reading.answered - reading.asked;
  // The host's own clock was set meanwhile.
  if (round_trip < Nanoseconds(0)) return Nanoseconds(0);
  // The guest looked at its clock at some moment of the round trip.
  const Nanoseconds uncertainty = round_trip / 2;
  const Nanoseconds offset = reading.asked + uncertainty - reading.guest;
  return std::chrono::abs(offset) > std::max(uncertainty, kLeastOffset) ? offset : Nanoseconds(0);
}

Task<Nanoseconds> correct_guest_clock(const Clock& host, OrderSender send) {
  ClockReading reading;
  reading.asked = host.now();
  const GuestClock guest = co_await order_clock(send, Nanoseconds(0));
  reading.answered = host.now();
  reading.guest = Nanoseconds(guest.time);
  const Nanoseconds offset = clock_offset(reading);
  if (offset != Nanoseconds(0)) co_await order_clock(send, offset);
  co_return offset;
}

}  // namespace berth::link
