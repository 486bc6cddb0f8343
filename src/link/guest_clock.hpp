#pragma once

#include <functional>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "extraconfig/pairs.hpp"
#include "link/messages.hpp"

/// How the host keeps a guest's wall clock right (docs/control.md).
namespace berth::link {

/// A look at the guest's clock: the host's before and after it, and what the guest said in between.
struct ClockReading {
  Nanoseconds asked{};
  Nanoseconds guest{};
  Nanoseconds answered{};
};

/// How far the guest's clock is behind the host's, or ahead below zero; zero when that is too little, or the
/// answer took too long to know it. Times are of after 1970.
Nanoseconds clock_offset(const ClockReading& reading);

using OrderSender = std::function<Task<extraconfig::Pairs>(Order)>;

/// Looks at the guest's clock and has it corrected when it is wrong. Returns by how much. Throws what `send`
/// throws, and corrupt for an answer that is no time.
Task<Nanoseconds> correct_guest_clock(const Clock& host, OrderSender send);

}  // namespace berth::link
