#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "extraconfig/pairs.hpp"
#include "link/messages.hpp"
#include "link/ssh.hpp"

namespace berth::tether {

/// A part of the tether with a life of its own: it starts with the tether, hears of each configuration, obeys
/// orders of its own and serves SSH subsystems of its own. What one does delays nobody else as long as it
/// never blocks the loop. What fails in it is logged and answered; it ends neither the tether nor another
/// one.
class Extension {
 public:
  virtual ~Extension() = default;

  virtual std::string name() const = 0;
  /// Verbs of orders (link::Order) that obey() is called for, and subsystems that serve() is called for; the
  /// same each time. Those of the tether itself come first.
  virtual std::vector<std::string_view> verbs() const { return {}; }
  virtual std::vector<std::string_view> subsystems() const { return {}; }

  /// Once, before everything below. May be cancelled where it waits, as it is when it takes longer than
  /// kExtensionStartLimit. After a failure nothing else is called: orders and channels get that failure.
  virtual Task<> start();
  /// The machine is as `config` says, but for its sessions. Called for one configuration after the other; of
  /// those that come while it runs, for the newest. `config` is there until it returns; it may be cancelled
  /// where it waits. A failure is logged.
  virtual Task<> reload(const config::ExecutorConfig& config);
  /// Several at a time; answers with keys. What it throws is the order's answer.
  virtual Task<extraconfig::Pairs> obey(link::Order order);
  /// Several at a time. What it throws the peer is told.
  virtual Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request);
  /// The machine is a copy of another one, which goes on with the peers of this one. Its containers stand
  /// still, and a configuration of its own comes next. A failure is logged.
  virtual Task<> become_copy();
  /// The machine ends: its sessions have, and its file systems are to be unmounted next. Once, unless it
  /// failed to start, and neither start() nor reload() runs any more. It is not waited for longer than the
  /// machine's end may take.
  virtual Task<> stop();
};

inline constexpr Milliseconds kExtensionStartLimit{30'000};

}  // namespace berth::tether
