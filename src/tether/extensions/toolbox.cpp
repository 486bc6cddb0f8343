#include "tether/extensions/toolbox.hpp"

#include <exception>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"
#include "tether/configuration.hpp"
#include "tether/os/wall_clock.hpp"
#include "tether/session/cgroup.hpp"

namespace berth::tether {
namespace {

extraconfig::Pairs set_clock(const link::Order& order) {
  if (order.time != 0) os::set_wall_clock(Nanoseconds(order.time));
  if (order.offset != 0) os::correct_wall_clock(Nanoseconds(order.offset));
  link::GuestClock clock;
  clock.time = os::wall_clock().count();
  clock.left = os::correction_left().count();
  return extraconfig::encode(clock);
}

/// The machine goes on: no process may run before its clock is right.
void thaw(const link::Order& order) {
  std::exception_ptr failure;
  try {
    if (order.time != 0) os::set_wall_clock(Nanoseconds(order.time));
  } catch (...) {
    failure = std::current_exception();
  }
  Cgroup(cgroup_folder()).thaw();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::vector<std::string_view> Toolbox::verbs() const {
  using namespace link::verb;
  return {power_off, reboot, clock, freeze, link::verb::thaw};
}

Task<extraconfig::Pairs> Toolbox::obey(link::Order order) {
  if (order.verb == link::verb::clock) co_return set_clock(order);
  if (order.verb == link::verb::freeze) {
    Cgroup(cgroup_folder()).freeze();
  } else if (order.verb == link::verb::thaw) {
    pod_.go_on();
    thaw(order);
  } else {
    co_await pod_.leave(order.verb == link::verb::reboot ? Leave::reboot : Leave::power_off);
  }
  co_return extraconfig::Pairs{};
}

}  // namespace berth::tether
