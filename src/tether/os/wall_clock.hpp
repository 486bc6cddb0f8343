#pragma once

#include "base/clock.hpp"

/// CLOCK_REALTIME, which all sessions see. The monotonic clocks never jump.
namespace berth::tether::os {

/// A clock that is wrong by so much or more is set; one that is wrong by less goes faster or slower until it
/// is right.
inline constexpr Nanoseconds kStepFrom = std::chrono::seconds(1);

/// Throws invalid-argument for a time that cannot be.
void set_wall_clock(Nanoseconds since_epoch);
/// The same for a clock that is so much behind, or ahead below zero.
void correct_wall_clock(Nanoseconds offset);
Nanoseconds wall_clock();
/// What is still to come of a correction, to a microsecond.
Nanoseconds correction_left();

}  // namespace berth::tether::os
