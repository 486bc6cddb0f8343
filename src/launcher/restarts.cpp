#include <signal.h>

#include <algorithm>

#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"

/// What the launcher does about a main session that the guest starts again.
namespace berth::launcher {

std::map<std::string, config::SessionConfig> Launcher::told_sessions() const {
  auto sessions = guest_config_.sessions;
  // The guest may have been told not to restart it any more; the container keeps its policy.
  sessions.at(pod_.id()).restart = pod_.session().restart;
  return sessions;
}

void Launcher::note_restarts() {
  const config::SessionConfig& session = guest_config_.sessions.at(pod_.id());
  const bool ended = session.detail.stop_time != 0;
  const bool was_restarting = restarting_;
  const std::int64_t runs_before = runs_ended_;
  restarting_ = ended && session.restarting && pod_.session().restart;
  // Reports are put together when they come fast, so that the end of a run may not be seen by itself.
  runs_ended_ = std::max<std::int64_t>(session.diagnostics.resurrection_count, 0) + (ended ? 1 : 0);
  release_clients();
  const bool is_over = ended && !restarting_;
  if (is_over || (was_restarting == restarting_ && runs_before == runs_ended_)) return;
  pod_ = records_.update(pod_.id(), [&](record::Pod& pod) {
    pod.executor.sessions = told_sessions();
    if (restarting_) {
      const Exit exit = exit_of(session);
      pod.host.status = record::Status::restarting;
      pod.host.finished = clock_.now().count();
      pod.host.exit_code = exit.code;
      pod.host.oom_killed = exit.oom_killed;
    } else {
      pod.host.status = paused_ ? record::Status::paused : record::Status::running;
      pod.host.started = clock_.now().count();
      pod.host.oom_killed = false;
    }
  });
}

/// From the exit logs, the last of which is that of the last run.
Exit Launcher::exit_of_run(std::int64_t run) const {
  const auto& logs = guest_config_.sessions.at(pod_.id()).diagnostics.exit_logs;
  Exit exit;
  if (logs.empty()) return exit;
  const auto last = static_cast<std::int64_t>(logs.size()) - 1;
  const std::int64_t index = std::clamp<std::int64_t>(last - (runs_ended_ - run), 0, last);
  const std::int64_t status = logs[static_cast<std::size_t>(index)].exit_status;
  exit.code = static_cast<std::int32_t>(std::clamp<std::int64_t>(status, 0, 255));
  return exit;
}

/// Lets the clients go whose run is over while the session goes on; those of the last run hear of its end
/// when it is recorded.
void Launcher::release_clients() {
  if (!started_) return;
  const std::int64_t gone = restarting_ || guest_config_.sessions.at(pod_.id()).detail.stop_time == 0
                                ? runs_ended_
                                : runs_ended_ - 1;
  for (const auto& [run, client] : leaving_) {
    if (run <= gone) client->finish(encode_exit(exit_of_run(run)));
  }
  std::erase_if(leaving_, [&](const auto& leaving) { return leaving.first <= gone; });
}

/// As with Docker: any signal ends it for good, unless another one is the container's stop signal.
bool Launcher::ends_restarts(std::int32_t signal) const {
  return pod_.session().stop_signal.empty() || signal == SIGKILL || signal == stop_signal();
}

Error Launcher::restarting_error() const {
  return Error(Code::wrong_state, "container {} is restarting: wait until it runs", pod_.name());
}

Task<> Launcher::end_restarts() {
  const auto session = guest_config_.sessions.find(pod_.id());
  if (session == guest_config_.sessions.end() || !session->second.restart) co_return;
  session->second.restart = false;
  co_await send_config();
}

}  // namespace berth::launcher
