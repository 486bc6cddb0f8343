#include "launcher/launcher.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/trace.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/cleanup.hpp"
#include "launcher/disk_snapshot.hpp"
#include "launcher/host_folders.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/volumes.hpp"

namespace berth::launcher {
namespace {

constexpr Milliseconds kOrderLimit{10'000};
constexpr Milliseconds kDrainLimit{10'000};
constexpr Milliseconds kPowerOffLimit{15'000};
/// Until what was written to volumes is on their disks and servers; less than a command waits for a stop.
constexpr Milliseconds kVolumesPowerOffLimit{45'000};
/// Of a machine of which nothing stays: until its lease is given back.
constexpr Milliseconds kReleaseLimit{2'000};
constexpr Milliseconds kQuitLimit{5'000};
/// Of a machine for copies: until what was copied is on the disk.
constexpr Milliseconds kFilesPowerOffLimit{600'000};

/// A guest that reports without end must not fill the host.
constexpr std::size_t kGuestKeyLimit = 65'536;
constexpr std::size_t kGuestValueLimit = 64u << 10;

}  // namespace

Launcher::Launcher(asio::any_io_executor executor, hypervisor::Hypervisor& hypervisor, record::Store& records,
                   const Clock& clock, FileLock lock, Settings settings)
    : executor_(std::move(executor)),
      hypervisor_(hypervisor),
      records_(records),
      clock_(clock),
      lock_(std::move(lock)),
      settings_(std::move(settings)),
      pod_(records.get(settings_.id)),
      changed_(executor_) {
  if (!settings_.files_only)
    log_ = std::make_unique<LogWriter>(settings_.paths.pod(settings_.id), LogLimits{});
}

Launcher::~Launcher() = default;

Task<> Launcher::run() {
  try {
    co_await start_machine();
    if (settings_.snapshot.empty())
      co_await configure_guest();
    else
      co_await become_copy();
    if (settings_.files_only) co_await serve_files();
    const trace::Span span("session");
    while (!exit_) co_await changed_.wait();
  } catch (const Error& error) {
    fail(error);
  }
  trace::Span span("last output");
  co_await drain_output();
  span.done();
  trace::Span end_span("end of the machine");
  co_await end_machine();
  end_span.done();
  const trace::Span record_span("record of the end");
  if (folders_) co_await folders_->end(kQuitLimit);
  volumes_.clear();
  record_end();
  phase_ = Phase::ended;
  changed_.notify_all();
  finish_clients();
}

void Launcher::first_client_came() {
  first_client_pending_ = false;
  changed_.notify_all();
}

void Launcher::on_report(const extraconfig::Difference& keys) {
  for (const auto& [key, value] : keys.changed) {
    if (value.size() > kGuestValueLimit) throw Error(Code::capacity, "a reported value is too long");
    if (guest_keys_.size() >= kGuestKeyLimit && !guest_keys_.contains(key)) {
      throw Error(Code::capacity, "too many reported keys");
    }
  }
  extraconfig::Pairs merged = guest_keys_;
  extraconfig::apply(keys, merged);
  config::ExecutorConfig decoded = guest_config_;
  // An address that is gone has no key any more.
  config::forget_assigned(decoded.networks);
  extraconfig::decode(merged, decoded);
  guest_keys_ = std::move(merged);
  guest_config_ = std::move(decoded);
  changed_.notify_all();
  if (settings_.files_only) return;

  const config::SessionConfig& session = guest_config_.sessions.at(pod_.id());
  note_fork_request();
  if (!started_ && session.started == "true") note_started();
  if (started_ && pod_.executor.networks != guest_config_.networks) {
    pod_ =
        records_.update(pod_.id(), [&](record::Pod& pod) { pod.executor.networks = guest_config_.networks; });
  }
  if (started_) note_restarts();
  const bool failed = !session.started.empty() && session.started != "true";
  const bool ended = session.detail.stop_time != 0 && !restarting_;
  if (failed || (started_ && ended)) end_session(exit_of(session));
}

void Launcher::note_started() {
  started_ = true;
  phase_ = Phase::running;
  note_unsynced([&](record::Pod& pod) {
    pod.executor.sessions = told_sessions();
    pod.executor.networks = guest_config_.networks;
    pod.host.status = record::Status::running;
    pod.host.started = clock_.now().count();
    pod.host.finished = 0;
  });
  for (const auto& client : clients_) client->send(encode_frame(FrameKind::started, {}));
  spawn_detached(executor_, "clock", [](Launcher* self) -> Task<> { co_await self->keep_clock(); }(this));
  changed_.notify_all();
}

void Launcher::end_session(Exit exit) {
  if (exit_) return;
  if (!exit.error.empty()) {
    exit.error = readable_reason(exit.error);
    start_failure_ = Error(exit.code == 127 ? Code::not_found : Code::invalid_argument, "{}", exit.error);
  }
  exit_ = std::move(exit);
  changed_.notify_all();
}

void Launcher::fail(const Error& error) {
  if (exit_) return;
  constexpr std::int32_t kOwnFailure = 125;
  Exit exit;
  exit.code = kOwnFailure;
  exit.error = error.what();
  if (!started_) start_failure_ = error;
  exit_ = std::move(exit);
  changed_.notify_all();
}

void Launcher::on_output(link::OutputRecord&& record) {
  if (record.kind == link::OutputKind::mark) {
    mark_ = record.payload;
    changed_.notify_all();
    return;
  }
  if (settings_.files_only) return;
  if (record.kind == link::OutputKind::open) {
    output_sessions_.erase(record.session);
    if (record.payload == pod_.id()) output_sessions_.emplace(record.session, record.payload);
    return;
  }
  if (!output_sessions_.contains(record.session)) return;
  switch (record.kind) {
    case link::OutputKind::standard_output:
      append_log(LogStream::standard_output, record);
      fan_out(FrameKind::standard_output, record.payload);
      break;
    case link::OutputKind::standard_error:
      append_log(LogStream::standard_error, record);
      fan_out(FrameKind::standard_error, record.payload);
      break;
    default:
      output_sessions_.erase(record.session);
      ++outputs_ended_;
      for (auto& client : clients_) leaving_.emplace_back(outputs_ended_, std::move(client));
      clients_.clear();
      release_clients();
      changed_.notify_all();
  }
}

void Launcher::append_log(LogStream stream, const link::OutputRecord& record) {
  if (log_failed_) return;
  try {
    log_->append(stream, record.time, record.payload);
  } catch (const Error& error) {
    log_failed_ = true;
    log::error("the container's log ends here: {}", error.what());
  }
}

void Launcher::fan_out(FrameKind kind, const std::string& payload) {
  for (const auto& client : clients_) {
    client->send_output(kind, payload);
    if (client->policy() == SlowReader::cut_off && client->overfull()) {
      client->finish(encode_error(Error(Code::capacity,
                                        "this client did not read its output fast enough and was cut off; "
                                        "`berth logs` has what it missed")));
    }
  }
  std::erase_if(clients_, [](const auto& client) { return client->finished() || client->done(); });
  regulate_output();
}

void Launcher::regulate_output() {
  const auto is_overfull = [](const auto& client) {
    return client->policy() == SlowReader::wait && client->overfull();
  };
  if (regulating_ || !std::any_of(clients_.begin(), clients_.end(), is_overfull)) return;
  regulating_ = true;
  spawn_detached(executor_, "output", [](Launcher* self) -> Task<> { co_await self->regulate(); }(this));
}

Task<> Launcher::regulate() {
  link::Order order;
  order.session = pod_.id();
  try {
    order.verb = link::verb::hold;
    co_await guest_->order(order, kOrderLimit);
    const std::list<std::shared_ptr<Subscriber>> waited = clients_;
    for (const auto& client : waited) {
      if (client->policy() == SlowReader::wait) co_await client->wait_room();
    }
    order.verb = link::verb::release;
    co_await guest_->order(order, kOrderLimit);
  } catch (const Error& error) {
    if (!exit_) log::warning("holding back output: {}", error.what());
  }
  regulating_ = false;
}

Task<> Launcher::drain_output() {
  if (!started_ || !exit_->error.empty()) co_return;
  const auto deadline = std::chrono::steady_clock::now() + kDrainLimit;
  while (outputs_ended_ < runs_ended_) {
    if (!co_await changed_.wait_until(deadline)) {
      log::warning("the guest did not say that the output is complete");
      break;
    }
  }
}

Task<> Launcher::end_machine() {
  if (!machine_) co_return;
  if (guest_) guest_->release();
  const bool has_volumes = !pod_.host.volumes.empty() || folders_ != nullptr;
  const bool outlives_machine = settings_.files_only || !pod_.host.auto_remove || has_volumes;
  const bool has_lease = config::has_lease(guest_config_.networks);
  if (guest_ && exit_->error.empty() && (outlives_machine || has_lease)) {
    try {
      link::Order order;
      order.verb = link::verb::power_off;
      Milliseconds limit = has_volumes ? kVolumesPowerOffLimit : kPowerOffLimit;
      if (!outlives_machine) limit = kReleaseLimit;
      if (settings_.files_only) limit = kFilesPowerOffLimit;
      co_await guest_->order(order, limit);
      co_await with_deadline(kQuitLimit, "power-off", [](hypervisor::Machine& machine) -> Task<> {
        co_await machine.wait_end();
      }(*machine_));
    } catch (const Error& error) {
      log::warning("orderly end of the machine: {}", error.what());
    }
  }
  if (guest_) guest_->close();
  co_await machine_->quit(kQuitLimit);
}

void Launcher::record_end() {
  const bool remove =
      !settings_.files_only && (pod_.host.auto_remove || (!started_ && goes_with_failure(pod_)));
  try {
    if (remove) {
      const record::Store::Unsynced unsynced(records_);
      remove_pod(records_, settings_.paths, pod_.id(), *lock_, AnonymousVolumes::remove);
    } else {
      pod_ = records_.update(pod_.id(), [&](record::Pod& pod) {
        pod.host.launcher = {};
        pod.host.machine = {};
        if (settings_.files_only) return;
        guest_config_.execs.clear();
        if (!guest_config_.sessions.empty()) pod.executor.sessions = told_sessions();
        pod.host.status = pod.host.started != 0 ? record::Status::exited : record::Status::created;
        if (started_) pod.host.finished = clock_.now().count();
        pod.host.exit_code = exit_->code;
        pod.host.error = exit_->error;
        pod.host.oom_killed = exit_->oom_killed;
      });
      remove_tree(settings_.paths.pod_runtime(pod_.id()));
    }
  } catch (const Error& error) {
    // The next command that meets the pod does it: the record still says that this launcher drives it.
    log::error("record the end: {}", error.what());
  }
  lock_.reset();
}

void Launcher::finish_clients() {
  for (const auto& client : clients_) client->finish(encode_exit(*exit_));
  for (const auto& [run, client] : leaving_) client->finish(encode_exit(*exit_));
  clients_.clear();
  leaving_.clear();
}

Task<> Launcher::wait_started() {
  while (!started_ && !exit_) co_await changed_.wait();
  if (paused_ && !exit_) throw paused_error();
  if (started_) co_return;
  while (phase_ != Phase::ended) co_await changed_.wait();
  if (start_failure_) throw *start_failure_;
}

Task<Exit> Launcher::wait_end() {
  while (phase_ != Phase::ended) co_await changed_.wait();
  co_return *exit_;
}

Task<Exit> Launcher::wait_exit() {
  const std::int64_t before = runs_ended_;
  while (phase_ != Phase::ended && (exit_ || runs_ended_ == before)) co_await changed_.wait();
  co_return phase_ == Phase::ended ? *exit_ : exit_of_run(runs_ended_);
}

void Launcher::require_running() const {
  if (restarting_ && !exit_) throw restarting_error();
  if (!started_ || exit_) throw Error(Code::wrong_state, "container {} is not running", pod_.name());
}

Task<> Launcher::kill(std::int32_t signal) {
  if (!restarting_ || exit_) require_running();
  if (ends_restarts(signal)) {
    co_await unpause_if_paused();
    co_await end_restarts();
  }
  if (restarting_) co_return;
  link::Order order;
  order.verb = link::verb::signal;
  order.session = pod_.id();
  order.signal = signal;
  if (!keep_for_later(order)) co_await guest_->order(order, kOrderLimit);
}

std::int32_t Launcher::stop_signal() const {
  const std::string& name = pod_.session().stop_signal;
  return name.empty() ? SIGTERM : signal_number(name).value_or(SIGTERM);
}

Task<> Launcher::stop(Milliseconds grace) {
  constexpr Milliseconds kKillLimit{10'000};
  const auto ended_within = [this](Milliseconds limit) -> Task<bool> {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!exit_) {
      if (!co_await changed_.wait_until(deadline)) break;
    }
    co_return exit_.has_value();
  };
  if (!started_ && !exit_ && settings_.files_only) {
    // An orderly end: what was copied before is in volumes, too.
    start_failure_ = Error(Code::wrong_state, "the container is being removed");
    exit_.emplace();
    changed_.notify_all();
  } else if (!started_ && !exit_) {
    fail(Error(Code::wrong_state, "the container was stopped before its process started"));
  }
  try {
    link::Order order;
    order.verb = link::verb::signal;
    order.session = pod_.id();
    co_await unpause_if_paused();
    if (!exit_) co_await end_restarts();
    if (!exit_ && !restarting_) {
      order.signal = stop_signal();
      co_await guest_->order(order, kOrderLimit);
    }
    if (!co_await ended_within(grace)) {
      co_await unpause_if_paused();
      order.signal = SIGKILL;
      order.whole_session = true;
      co_await guest_->order(order, kOrderLimit);
    }
  } catch (const Error& error) {
    if (!exit_) log::warning("stop: {}", error.what());
  }
  if (!co_await ended_within(kKillLimit)) {
    Exit killed;
    killed.signal = SIGKILL;
    killed.code = 128 + SIGKILL;
    end_session(std::move(killed));
  }
  co_await wait_end();
}

Task<UsageReport> Launcher::usage() {
  co_await wait_pause_settled();
  require_running();
  link::Order order;
  order.verb = link::verb::stats;
  order.session = pod_.id();
  UsageReport report;
  if (paused_)
    report.guest = paused_usage_;
  else
    extraconfig::decode(co_await guest_->order(order, kOrderLimit), report.guest);
  report.machine = co_await machine_->statistics();
  co_return report;
}

}  // namespace berth::launcher
