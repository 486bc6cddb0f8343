#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/async.hpp"
#include "config/executor.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// The ends of one session, and what follows them; rules and numbers are those of Docker's restart manager.
class Restarts {
 public:
  /// Logs an end. Returns the wait before the next start; nothing when it stays ended.
  std::optional<Milliseconds> note_end(const config::SessionConfig& session, const SessionStatus& status);
  /// The program runs.
  void note_start();
  /// It will not be started again.
  void give_up() { waiting_ = false; }

  bool waiting() const { return waiting_; }
  /// Writes into the configuration what the host is told.
  void record(config::SessionConfig& session) const;

 private:
  Milliseconds back_off(Nanoseconds run_time);

  bool waiting_ = false;
  std::int64_t count_ = 0;
  Milliseconds delay_{0};
  std::vector<config::ExitLog> logs_;  ///< the last ones
};

}  // namespace berth::tether
