#include <signal.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "tether/tether.hpp"

/// How the machine comes to its end.
namespace berth::tether {
namespace {

constexpr Milliseconds kKillLimit{5'000};
/// For what was written to NFS servers; with the others less than the launcher waits for the machine's end.
constexpr Milliseconds kServerLimit{15'000};
constexpr Milliseconds kFarewellLimit{500};

}  // namespace

Task<> Tether::shut_down() {
  shutting_down_ = true;
  waiting_.reset();
  go_on();
  network_jobs_.stop();
  if (const std::string& awaited = root_.awaited(); awaited.empty())
    mount_jobs_.stop();
  else
    mount_jobs_.stop(fmt::format("the machine is being switched off while the mount {} is awaited", awaited));
  co_await end_sessions();
  for (const auto& [id, entry] : sessions_) {
    if (entry.session) entry.session->release_mounts();
  }
  co_await extensions_.stop(kKillLimit);
  co_await mount_jobs_.wait_idle();
  co_await root_.leave_servers(
      kServerLimit, [this] { return !has_running_sessions(); }, kKillLimit);
  network_.release();
  co_await wait_reported(kKillLimit);
  try {
    root_.unmount();
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

Task<> Tether::leave(Leave how) {
  leave_ = how;
  co_await shut_down();
  spawn_detached(executor_, "the end", end_link());
}

bool Tether::has_running_sessions() const {
  return std::any_of(sessions_.begin(), sessions_.end(), [](const auto& entry) {
    return entry.second.session && !entry.second.session->status().ended;
  });
}

/// One that is held by a server that is gone ends with root_.leave_servers().
Task<> Tether::end_sessions() {
  std::vector<std::shared_ptr<Session>> running;
  for (const auto& [id, entry] : sessions_) {
    if (entry.session && !entry.session->status().ended) running.push_back(entry.session);
  }
  for (const auto& session : running) session->signal(SIGKILL, true);
  const auto deadline = std::chrono::steady_clock::now() + kKillLimit;
  for (const auto& session : running) {
    const auto left = std::chrono::duration_cast<Milliseconds>(deadline - std::chrono::steady_clock::now());
    try {
      co_await with_deadline(std::max(left, Milliseconds(0)), "the end of session " + session->id(),
                             session->wait_ended());
    } catch (const Error& error) {
      log::warning("{}", error.what());
    }
  }
}

Task<> Tether::end_link() {
  // Comes behind the answer to the order: when this is acknowledged, the host has that too.
  try {
    co_await control_.send(link::DocumentKind::report, extraconfig::Difference(), kFarewellLimit);
  } catch (const Error&) {
    // It sees the machine end.
  }
  control_.close();
}

}  // namespace berth::tether
