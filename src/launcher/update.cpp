#include <cmath>

#include "base/counted.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"

/// How a running container's machine becomes larger or smaller.
namespace berth::launcher {
namespace {

/// For the guest to take CPUs and memory, or to give them back.
constexpr Milliseconds kResizeLimit{20'000};
constexpr Milliseconds kAdjustLimit{10'000};

}  // namespace

Task<> Launcher::update(UpdateRequest request) {
  co_await wait_pause_settled();
  require_unpaused();
  if (updates_ > 0) throw Error(Code::busy, "container {} is being updated already", pod_.name());
  const Counted update(updates_);
  const hypervisor::Size before = machine_->size();
  const std::int64_t limit_before = guest_config_.sessions.at(pod_.id()).resources.nano_cpus;
  hypervisor::Size wanted = before;
  if (request.memory_bytes) wanted.memory_bytes = *request.memory_bytes;
  if (request.cpus) wanted.cpus = whole_cpus(*request.cpus);
  const auto nano_cpus = static_cast<std::int64_t>(request.cpus.value_or(0) * 1e9);
  std::exception_ptr failure;
  try {
    co_await resize_machine(wanted);
    if (request.cpus) co_await limit_container(nano_cpus);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    try {
      co_await resize_machine(before);
      co_await limit_container(limit_before);
    } catch (const Error& error) {
      log::warning("taking back an update: {}", error.what());
    }
    std::rethrow_exception(failure);
  }
  pod_ = records_.update(pod_.id(), [&](record::Pod& pod) {
    if (request.memory_bytes) pod.host.memory_bytes = *request.memory_bytes;
    if (!request.cpus) return;
    pod.host.cpus = *request.cpus;
    pod.session().resources.nano_cpus = nano_cpus;
  });
}

Task<> Launcher::resize_machine(hypervisor::Size size) {
  if (size.memory_bytes != machine_->size().memory_bytes)
    co_await machine_->set_memory(size.memory_bytes, kResizeLimit);
  if (size.cpus != machine_->size().cpus) {
    try {
      co_await machine_->set_cpus(size.cpus, kResizeLimit);
    } catch (const Error& error) {
      // Where CPUs cannot go, the container's limit does it.
      if (error.code() != Code::unsupported || size.cpus > machine_->size().cpus) throw;
    }
  }
  link::Order order;
  order.verb = link::verb::adjust;
  order.cpus = static_cast<std::int32_t>(machine_->size().cpus);
  co_await guest_->order(order, kAdjustLimit);
}

Task<> Launcher::limit_container(std::int64_t nano_cpus) {
  guest_config_.sessions.at(pod_.id()).resources.nano_cpus = nano_cpus;
  co_await send_config();
  link::Order order;
  order.verb = link::verb::adjust;
  co_await guest_->order(order, kAdjustLimit);
}

}  // namespace berth::launcher
