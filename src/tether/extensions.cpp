#include "tether/extensions.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"

namespace berth::tether {

Task<> Extension::start() {
  co_return;
}

Task<> Extension::become_copy() {
  co_return;
}

Task<> Extension::reload(const config::ExecutorConfig& /*config*/) {
  co_return;
}

Task<extraconfig::Pairs> Extension::obey(link::Order order) {
  throw Error(Code::unsupported, "{} does not know the order \"{}\"", name(), order.verb);
}

Task<> Extension::serve(std::shared_ptr<link::ssh::Channel> /*channel*/, link::ssh::Request request) {
  throw Error(Code::unsupported, "{} has no SSH subsystem \"{}\"", name(), request.subsystem);
}

Task<> Extension::stop() {
  co_return;
}

/// One of them, and how far it is.
struct Extensions::Member {
  enum class State { starting, started, failed };

  Member(const asio::any_io_executor& executor, std::unique_ptr<Extension> added)
      : extension(std::move(added)), changed(executor), stopping(executor) {}

  /// Starts it and keeps it informed until it is to stop.
  static Task<> run(std::shared_ptr<Member> self);
  static Task<> stop(std::shared_ptr<Member> self);
  Task<> start_once();
  Task<> reload_loop();
  Task<> wait_started();

  std::unique_ptr<Extension> extension;
  State state = State::starting;
  std::string failure;
  std::shared_ptr<const config::ExecutorConfig> newest;  ///< that it has not been told of yet
  bool running = false;
  bool stopped = false;
  bool ended = false;
  Event changed;
  Event stopping;
};

Task<> Extensions::Member::run(std::shared_ptr<Member> self) {
  self->running = true;
  try {
    co_await run_until(self->stopping, self->start_once());
    if (self->state == State::started) co_await run_until(self->stopping, self->reload_loop());
  } catch (const std::exception& error) {
    log::error("extension {}: {}", self->extension->name(), error.what());
  }
  self->running = false;
  self->changed.notify_all();
}

Task<> Extensions::Member::start_once() {
  try {
    co_await with_deadline(kExtensionStartLimit, "the start", extension->start());
    state = State::started;
  } catch (const std::exception& error) {
    state = State::failed;
    failure = error.what();
    newest.reset();
    if (!stopped) log::error("extension {} did not start: {}", extension->name(), failure);
  }
  changed.notify_all();
}

Task<> Extensions::Member::reload_loop() {
  while (true) {
    while (!newest && !stopped) co_await changed.wait();
    if (stopped) co_return;
    const auto config = std::exchange(newest, nullptr);
    try {
      co_await extension->reload(*config);
    } catch (const std::exception& error) {
      if (!stopped) log::error("extension {}: {}", extension->name(), error.what());
    }
  }
}

/// Until it is ready for what it is there for.
Task<> Extensions::Member::wait_started() {
  while (state == State::starting && !stopped) co_await changed.wait();
  if (state == State::failed)
    throw Error(Code::unavailable, "{} did not start: {}", extension->name(), failure);
  if (stopped) throw Error(Code::wrong_state, "the machine is being switched off");
}

Task<> Extensions::Member::stop(std::shared_ptr<Member> self) {
  self->stopped = true;
  self->stopping.notify_all();
  self->changed.notify_all();
  while (self->running) co_await self->changed.wait();
  try {
    if (self->state == State::started) co_await self->extension->stop();
  } catch (const std::exception& error) {
    log::warning("the end of extension {}: {}", self->extension->name(), error.what());
  }
  self->ended = true;
  self->changed.notify_all();
}

std::shared_ptr<Extensions::Member> Extensions::find(Names names, std::string_view name) const {
  for (const auto& member : members_) {
    const auto known = (*member->extension.*names)();
    if (std::find(known.begin(), known.end(), name) != known.end()) return member;
  }
  return nullptr;
}

void Extensions::add(std::unique_ptr<Extension> extension) {
  for (const Names names : {&Extension::verbs, &Extension::subsystems}) {
    for (const std::string_view name : (*extension.*names)()) {
      if (const auto other = find(names, name)) {
        throw Error(Code::already_exists, "the extensions {} and {} both have \"{}\"",
                    other->extension->name(), extension->name(), name);
      }
    }
  }
  members_.push_back(std::make_shared<Member>(executor_, std::move(extension)));
}

void Extensions::start() {
  for (const auto& member : members_)
    spawn_detached(executor_, "extension " + member->extension->name(), Member::run(member));
}

void Extensions::reload(const config::ExecutorConfig& config) {
  const auto copy = std::make_shared<const config::ExecutorConfig>(config);
  for (const auto& member : members_) {
    if (member->state == Member::State::failed) continue;
    member->newest = copy;
    member->changed.notify_all();
  }
}

Task<> Extensions::become_copy() {
  for (const auto& member : members_) {
    if (member->state != Member::State::started) continue;
    try {
      co_await member->extension->become_copy();
    } catch (const std::exception& error) {
      log::error("extension {}: {}", member->extension->name(), error.what());
    }
  }
}

Task<extraconfig::Pairs> Extensions::obey(link::Order order) {
  const auto member = find(&Extension::verbs, order.verb);
  if (!member) throw Error(Code::unsupported, "the tether does not know the order \"{}\"", order.verb);
  co_await member->wait_started();
  co_return co_await member->extension->obey(std::move(order));
}

Task<> Extensions::serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) {
  const auto member = find(&Extension::subsystems, request.subsystem);
  if (!member) throw Error(Code::unsupported, "the tether has no SSH subsystem \"{}\"", request.subsystem);
  co_await member->wait_started();
  co_await member->extension->serve(std::move(channel), std::move(request));
}

Task<> Extensions::stop(Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (const auto& member : members_)
    spawn_detached(executor_, "end of extension " + member->extension->name(), Member::stop(member));
  for (const auto& member : members_) {
    while (!member->ended) {
      if (co_await member->changed.wait_until(deadline)) continue;
      log::warning("extension {} does not end", member->extension->name());
      break;
    }
  }
}

}  // namespace berth::tether
