#include "base/error.hpp"
#include "base/log.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/launcher.hpp"
#include "link/guest_clock.hpp"

/// A machine that stands still, and the guest's clock, which must be right when it goes on, and later.
namespace berth::launcher {
namespace {

constexpr Milliseconds kHoldLimit{15'000};
constexpr Milliseconds kOrderLimit{10'000};

}  // namespace

Error Launcher::paused_error() const {
  return Error(Code::wrong_state, "container {} is paused: unpause it first with `berth unpause {}`",
               pod_.name(), pod_.name());
}

void Launcher::require_unpaused() const {
  require_running();
  if (paused_) throw paused_error();
}

/// Until nobody is about to pause it or to let it go on.
Task<> Launcher::wait_pause_settled() {
  while (pausing_ > 0 && !exit_) co_await changed_.wait();
}

Task<> Launcher::pause() {
  co_await wait_pause_settled();
  require_running();
  if (paused_) throw Error(Code::wrong_state, "container {} is already paused", pod_.name());
  if (updates_ > 0) throw Error(Code::busy, "container {} is being updated: try again", pod_.name());
  const Counted pausing(pausing_, changed_);
  // No time limit of anything that was asked may pass while the guest cannot answer.
  co_await guest_->hold(kHoldLimit);
  std::exception_ptr failure;
  try {
    co_await stand_still();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  try {
    co_await go_on();
  } catch (const Error& error) {
    if (!exit_) log::warning("taking back a pause: {}", error.what());
  }
  guest_->release();
  co_await deliver_later();
  require_running();  // its end says more than what it made of the pause
  std::rethrow_exception(failure);
}

Task<> Launcher::stand_still() {
  link::Order order;
  order.session = pod_.id();
  order.verb = link::verb::stats;
  extraconfig::decode(co_await guest_->order_held(order, kOrderLimit), paused_usage_);
  order.verb = link::verb::freeze;
  co_await guest_->order_held(order, kOrderLimit);
  co_await machine_->pause();
  require_running();  // its end may have come meanwhile
  pod_ = records_.update(pod_.id(), [](record::Pod& pod) { pod.host.status = record::Status::paused; });
  paused_ = true;
}

/// The containers' processes run only when the clock is right again. A machine that does not resume stays
/// paused.
Task<> Launcher::go_on() {
  co_await machine_->resume();
  std::exception_ptr failure;
  try {
    link::Order order;
    order.verb = link::verb::thaw;
    order.time = clock_.now().count();
    co_await guest_->order_held(order, kOrderLimit);
  } catch (...) {
    failure = std::current_exception();
  }
  paused_ = false;
  guest_->release();
  if (failure) std::rethrow_exception(failure);
}

Task<> Launcher::unpause() {
  co_await wait_pause_settled();
  if (!started_ || exit_) throw Error(Code::wrong_state, "container {} is not running", pod_.name());
  if (!paused_) throw Error(Code::wrong_state, "container {} is not paused", pod_.name());
  const Counted pausing(pausing_, changed_);
  std::exception_ptr failure;
  try {
    co_await go_on();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!exit_ && !paused_) {
    pod_ = records_.update(pod_.id(), [&](record::Pod& pod) {
      pod.host.status = restarting_ ? record::Status::restarting : record::Status::running;
    });
  }
  co_await deliver_later();
  if (failure) std::rethrow_exception(failure);
}

/// For what ends it, which a paused container cannot do.
Task<> Launcher::unpause_if_paused() {
  co_await wait_pause_settled();
  if (paused_ && !exit_) co_await unpause();
}

/// Whether the order has to wait until the machine goes on. Of equal ones the last one counts.
bool Launcher::keep_for_later(const link::Order& order) {
  if (!paused_ && pausing_ == 0) return false;
  later_.insert_or_assign({order.session, order.verb, order.signal}, order);
  return true;
}

Task<> Launcher::deliver_later() {
  while (!later_.empty() && !exit_ && !paused_) {
    link::Order order = std::move(later_.begin()->second);
    later_.erase(later_.begin());
    try {
      co_await guest_->order(std::move(order), kOrderLimit);
    } catch (const Error& error) {
      if (!exit_) log::warning("order for a session after a pause: {}", error.what());
    }
  }
}

/// A guest that does not answer is not ended for that: its host may just be busy.
Task<> Launcher::keep_clock() {
  const link::OrderSender send = [this](link::Order order) {
    return guest_->order(std::move(order), kOrderLimit);
  };
  while (!exit_) {
    const auto deadline = std::chrono::steady_clock::now() + settings_.clock_period;
    while (!exit_) {
      if (!co_await changed_.wait_until(deadline)) break;
    }
    if (exit_) co_return;
    if (paused_ || pausing_ > 0) continue;
    try {
      Task<Nanoseconds> look = link::correct_guest_clock(clock_, send);
      const Nanoseconds offset = co_await std::move(look);
      const auto rounded = std::chrono::round<Milliseconds>(offset);
      if (offset != Nanoseconds(0)) log::debug("the guest's clock was {} ms behind", rounded.count());
    } catch (const Error& error) {
      if (!exit_) log::warning("the guest's clock: {}", error.what());
    }
  }
}

}  // namespace berth::launcher
