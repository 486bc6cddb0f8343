#include "tether/restarts.hpp"

#include <algorithm>

#include "base/signals.hpp"

namespace berth::tether {
namespace {

constexpr Milliseconds kFirstDelay{100};
constexpr Milliseconds kLongestDelay{60'000};
/// A session that ran so long begins with the first delay again.
constexpr std::chrono::seconds kLongRun{10};
constexpr std::size_t kMostExitLogs = 10;

config::ExitLog exit_log_of(const SessionStatus& status) {
  config::ExitLog log;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(status.stop_time);
  log.time.seconds = seconds.count();
  log.time.nanoseconds = static_cast<std::int32_t>((status.stop_time - seconds).count());
  log.exit_status = status.exit.shell_code();
  if (status.started != "true") {
    log.message = status.started;
  } else if (status.oom_killed) {
    log.message = "out of memory";
  } else if (status.exit.signal != 0) {
    log.message = "ended by " + signal_name(status.exit.signal);
  }
  return log;
}

}  // namespace

std::optional<Milliseconds> Restarts::note_end(const config::SessionConfig& session,
                                               const SessionStatus& status) {
  logs_.push_back(exit_log_of(status));
  if (logs_.size() > kMostExitLogs) logs_.erase(logs_.begin());
  const bool may = session.restart && status.started == "true" &&
                   (session.restart_limit == 0 || count_ < session.restart_limit);
  waiting_ = may && (!session.restart_on_failure || !status.exit.success());
  if (!waiting_) return std::nullopt;
  return back_off(status.stop_time - status.start_time);
}

Milliseconds Restarts::back_off(Nanoseconds run_time) {
  const bool afresh = delay_.count() == 0 || run_time >= kLongRun;
  delay_ = afresh ? kFirstDelay : std::min(delay_ * 2, kLongestDelay);
  return delay_;
}

void Restarts::note_start() {
  if (waiting_) ++count_;
  waiting_ = false;
}

void Restarts::record(config::SessionConfig& session) const {
  session.restarting = waiting_;
  session.diagnostics.resurrection_count = count_;
  session.diagnostics.exit_logs = logs_;
}

}  // namespace berth::tether
