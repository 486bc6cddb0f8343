#include "tether/tether.hpp"

#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "tether/configuration.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/settling.hpp"
#include "tether/os/wall_clock.hpp"
#include "tether/session/device_filter.hpp"
#include "tether/session/launch_failure.hpp"

namespace berth::tether {
namespace {

/// For a process to enter the root of a container.
constexpr Milliseconds kWaitingLimit{10'000};
/// Of the memory, for files of the image that a template has read already.
constexpr std::uint64_t kShareForImage = 8;
/// Of a container whose id is not known yet, which keeps it: the kernel renames none. No id begins so.
constexpr std::string_view kFirstCgroup = ".first";
constexpr Milliseconds kSettleLimit{5'000};
/// How long a disk or a network interface may take to appear.
constexpr Milliseconds kDeviceLimit{10'000};
/// Docker's clients give a start some minutes, the launcher one.
constexpr Milliseconds kLeaseLimit{30'000};
constexpr Milliseconds kVolumeLimit{600'000};
constexpr Milliseconds kHelloLimit{30'000};
/// Less than the launcher gives a configuration.
constexpr Milliseconds kServerLimit{30'000};

link::Hello make_hello(std::int64_t began_nanoseconds) {
  link::Hello hello;
  hello.began_nanoseconds = began_nanoseconds;
  utsname system{};
  check(::uname(&system), "uname");
  hello.kernel = system.release;
  hello.uptime_nanoseconds = os::uptime_nanoseconds();
  return hello;
}

}  // namespace

Tether::Tether(const asio::any_io_executor& executor, Ports ports, os::Devices& devices, os::Modules& modules,
               const Clock& clock, std::int64_t began_nanoseconds)
    : executor_(executor),
      began_nanoseconds_(began_nanoseconds),
      clock_(clock),
      control_(executor, std::move(ports.control)),
      output_(std::move(ports.output), executor, clock),
      turned_(executor),
      memory_for_containers_(os::memory_for_containers()),
      network_(executor, devices, modules, [this] { note_networks(); }),
      network_jobs_(executor,
                    [this](const os::Endpoints& wanted) {
                      return network_.apply(wanted, config_.hostname, {kDeviceLimit, kLeaseLimit});
                    }),
      modules_(modules),
      root_(devices, modules, [this] { return nfs_surroundings(); }),
      mount_jobs_(executor, [this](const Mounts& wanted) { return apply_mounts(wanted); }),
      identity_files_(root_),
      growth_(executor, modules),
      extensions_(executor),
      report_changed_(executor),
      restarts_changed_(executor) {
  Cgroup::prepare_hierarchy(os::kCgroupHierarchy, cgroup_folder());
  Cgroup containers(cgroup_folder());
  limit_devices(containers.fd());
  containers.set_limits({memory_for_containers_, os::processes_for_containers(), {}});
  network_.set_loopback_up();
  devices.watch([this](const os::Uevent& event) { growth_.note(event); }, [this] { growth_.look_again(); });
}

Task<> Tether::run() {
  extensions_.start();
  spawn_detached(executor_, "hello", greet());
  spawn_detached(executor_, "report", report_loop());
  co_await control_.serve([this](link::Document document) { return handle(std::move(document)); });
}

Task<> Tether::greet() {
  extraconfig::Difference hello;
  hello.changed = extraconfig::encode(make_hello(began_nanoseconds_));
  co_await control_.send(link::DocumentKind::hello, std::move(hello), kHelloLimit);
}

Task<extraconfig::Pairs> Tether::handle(link::Document document) {
  switch (document.kind) {
    case link::DocumentKind::config:
      co_await configure(std::move(document.keys));
      co_return extraconfig::Pairs{};
    case link::DocumentKind::order: {
      link::Order order;
      extraconfig::decode(document.keys.changed, order);
      co_return co_await obey(std::move(order));
    }
    default:
      throw Error(Code::unsupported, "the tether takes no such document");
  }
}

Task<> Tether::configure(extraconfig::Difference difference) {
  // Decoded in the order the documents came; a damaged one changes nothing.
  extraconfig::Pairs pairs = pairs_;
  extraconfig::apply(difference, pairs);
  config::ExecutorConfig config;
  extraconfig::decode(pairs, config, {}, extraconfig::Absent::reset);
  pairs_ = std::move(pairs);
  config_ = std::move(config);
  tell_sessions();
  network_.record(config_.networks);
  extraconfig::apply(
      {extraconfig::filter(difference.changed, describe::scope::read_write), difference.removed}, reported_);

  std::exception_ptr failure;
  try {
    co_await in_turn(apply_at_once());
    // The mounts are those of the newest configuration, which may have come meanwhile.
    if (co_await network_jobs_.bring_up(config_.networks) && co_await mount_jobs_.bring_up(wanted_mounts()))
      co_await in_turn(apply_with_networks());
  } catch (...) {
    failure = std::current_exception();
  }
  report_soon();
  if (failure) std::rethrow_exception(failure);
}

/// Runs steps of configurations and starts one after the other, in the order in which they came.
Task<> Tether::in_turn(Task<> step) {
  const std::uint64_t ticket = next_turn_++;
  while (turn_ != ticket) co_await turned_.wait();
  std::exception_ptr failure;
  try {
    co_await std::move(step);
  } catch (...) {
    failure = std::current_exception();
  }
  ++turn_;
  turned_.notify_all();
  if (failure) std::rethrow_exception(failure);
}

/// Puts into a new configuration what has come of its sessions, and obeys at once one that ends restarts.
void Tether::tell_sessions() {
  for (auto& [id, entry] : sessions_) {
    auto* configured = find_session(config_, id);
    if (configured == nullptr) continue;
    if (!configured->restart || !configured->active) entry.restarts.give_up();
    record_status(entry.status, *configured);
    entry.restarts.record(*configured);
  }
  config_.fork_request = fork_request_;
  restarts_changed_.notify_all();
}

/// What no network can hold up.
Task<> Tether::apply_at_once() {
  apply_time_and_entropy();
  apply_hostname();
  if (containers_begun_) co_await apply_containers();
}

Task<> Tether::apply_with_networks() {
  if (shutting_down_) throw Error(Code::wrong_state, "the machine is being switched off");
  network_.record(config_.networks);
  if (containers_begun_) {
    root_.apply_names(make_name_settings(config_));
  } else {
    co_await apply_containers();
  }
}

/// Its mounts are there.
Task<> Tether::apply_containers() {
  if (!config_.sessions.empty()) {
    co_await root_.assemble(kDeviceLimit);
    root_.apply_names(make_name_settings(config_));
    identity_files_.apply(config_.common.id);
    apply_forks();
    containers_begun_ = true;
  }
  extensions_.reload(config_);
  apply_sessions();
}

Tether::Mounts Tether::wanted_mounts() const {
  Mounts wanted;
  wanted.has_container = !config_.sessions.empty();
  if (wanted.has_container) wanted.mounts = config_.mounts;
  return wanted;
}

Task<> Tether::apply_mounts(Mounts wanted) {
  if (!wanted.has_container) co_return;
  co_await root_.assemble(kDeviceLimit);
  co_await root_.apply_mounts(std::move(wanted.mounts), {kDeviceLimit, kVolumeLimit, kServerLimit});
}

/// For a template of an image: what each of its clones would do, with nobody's names. Theirs take their
/// place.
Task<> Tether::assemble() {
  const std::string nobody(64, '0');
  co_await root_.assemble(kDeviceLimit);
  co_await root_.read_image_ahead(memory_for_containers() / kShareForImage);
  root_.make_mount_points();
  root_.apply_names({});
  identity_files_.apply(nobody);
  if (!waiting_) {
    waiting_ = std::make_unique<WaitingProcess>(root_.path(), Cgroup(cgroup_folder() / kFirstCgroup));
    co_await waiting_->ready(executor_, kWaitingLimit);
  }
  root_.write_back_disks();
}

/// The networks are there; what they were lent may not be in the configuration yet.
os::NfsSurroundings Tether::nfs_surroundings() {
  network_.record(config_.networks);
  os::NameSettings names = make_name_settings(config_);
  os::NfsSurroundings surroundings;
  surroundings.client = config_.common.id;
  surroundings.hosts = std::move(names.extra_hosts);
  surroundings.nameservers = std::move(names.nameservers);
  surroundings.search = std::move(names.search);
  return surroundings;
}

/// A lease has come, changed or gone.
void Tether::note_networks() {
  network_.record(config_.networks);
  try {
    if (containers_begun_ && !shutting_down_) root_.apply_names(make_name_settings(config_));
  } catch (const Error& error) {
    log::error("names of a container: {}", error.what());
  }
  report_soon();
}

void Tether::apply_time_and_entropy() {
  if (config_.time.count() > 0 && config_.time.count() != applied_time_) {
    os::set_wall_clock(config_.time);
    applied_time_ = config_.time.count();
  }
  if (!config_.entropy.data.empty() && config_.entropy.data != applied_entropy_) {
    os::add_entropy(config_.entropy.data);
    applied_entropy_ = config_.entropy.data;
  }
}

void Tether::apply_sessions() {
  stop_removed_sessions();
  for (const auto* sessions : {&config_.sessions, &config_.execs}) {
    for (const auto& [id, configured] : *sessions) {
      const auto known = sessions_.find(id);
      if (configured.active) {
        inactive_.erase(id);
        if (known == sessions_.end()) begin_session(id, configured);
      } else if (known != sessions_.end() && known->second.status.running() && inactive_.insert(id).second) {
        const auto stop = signal_number(configured.stop_signal);
        known->second.session->signal(stop.value_or(SIGTERM), false);
      }
    }
  }
}

void Tether::stop_removed_sessions() {
  for (auto entry = sessions_.begin(); entry != sessions_.end();) {
    const auto current = entry++;
    if (find_session(config_, current->first) != nullptr) continue;
    const auto& session = current->second.session;
    if (session && !session->status().ended) session->signal(SIGKILL, true);
    sessions_.erase(current);
  }
}

void Tether::begin_session(const std::string& id, const config::SessionConfig& config) {
  Entry& entry = sessions_[id];
  entry.session.reset();
  entry.status = {};
  entry.restart_ticket = 0;
  try {
    entry.number = free_number();
    const Session::Surroundings surroundings{executor_, output_, clock_, [this](const Session& changed) {
                                               note_status(changed.id(), changed.status());
                                             }};
    entry.session = std::make_shared<Session>(surroundings, make_session_spec(id, config), entry.number);
    spawn_detached(executor_, "session " + id, entry.session->run());
  } catch (const std::exception& failure) {
    SessionStatus status;
    status.started = describe_launch_failure(failure);
    status.ended = true;
    note_status(id, status);
  }
}

SessionSpec Tether::make_session_spec(const std::string& id, const config::SessionConfig& config) {
  require_session_id(id);
  const std::string hostname = full_hostname(config_);
  ProcessPlan plan = make_process_plan(config, hostname);
  if (config.container.empty()) {
    if (waiting_ && !waiting_->can_become(plan)) waiting_.reset();
    const auto folder = waiting_ ? waiting_->cgroup() : cgroup_folder() / id;
    CgroupLimits limits = limits_of(config.resources);
    limits.disks = disk_limits_of(config.resources);
    return {id,
            std::move(plan),
            root_.path(),
            {},
            Cgroup(folder),
            Cgroup(folder),
            std::move(limits),
            std::move(waiting_)};
  }
  const auto container = sessions_.find(config.container);
  const bool runs = container != sessions_.end() && container->second.session &&
                    container->second.session->pidfd() >= 0 && container->second.status.running();
  if (!runs) throw Error(Code::wrong_state, "container {} is not running", config.container);
  const auto folder = container->second.session->cgroup().path();
  return {id,
          std::move(plan),
          "",
          duplicate(container->second.session->pidfd()),
          Cgroup(folder / id),
          Cgroup(folder),
          {}};
}

/// A container sees its limit of memory, so one without gets that of them all.
CgroupLimits Tether::limits_of(const config::SessionResources& resources) const {
  CgroupLimits limits = make_limits(resources);
  limits.memory_bytes =
      std::min(limits.memory_bytes.value_or(memory_for_containers()), memory_for_containers());
  return limits;
}

std::uint16_t Tether::free_number() const {
  std::set<std::uint16_t> used;
  for (const auto& [id, entry] : sessions_) {
    if (entry.session && !entry.status.ended) used.insert(entry.number);
  }
  for (std::uint16_t number = 1; number != 0; ++number) {
    if (!used.contains(number)) return number;
  }
  throw Error(Code::capacity, "there are too many sessions");
}

std::shared_ptr<Session> Tether::session(const std::string& id) const {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) throw Error(Code::not_found, "there is no session {}", id);
  if (!found->second.session) {
    throw Error(Code::wrong_state, "session {} did not start: {}", id, found->second.status.started);
  }
  return found->second.session;
}

std::shared_ptr<Session> Tether::make_session(SessionSpec spec) {
  const Session::Surroundings surroundings{executor_, output_, clock_, [](const Session&) {}};
  return std::make_shared<Session>(surroundings, std::move(spec), 0);
}

Task<extraconfig::Pairs> Tether::obey(link::Order order) {
  if (order.verb == link::verb::start) {
    co_await start_session(order.session);
  } else if (order.verb == link::verb::signal) {
    session(order.session)->signal(order.signal, order.whole_session);
  } else if (order.verb == link::verb::resize) {
    session(order.session)
        ->resize({static_cast<std::uint16_t>(order.columns), static_cast<std::uint16_t>(order.rows)});
  } else if (order.verb == link::verb::hold || order.verb == link::verb::release) {
    session(order.session)->hold_output(order.verb == link::verb::hold);
  } else if (order.verb == link::verb::stats) {
    co_return stats(order.session);
  } else if (order.verb == link::verb::processes) {
    co_return processes(order.session);
  } else if (order.verb == link::verb::adjust) {
    co_await adjust(order.cpus);
  } else if (order.verb == link::verb::assemble) {
    co_await assemble();
  } else if (order.verb == link::verb::settle) {
    co_await os::wait_kernel_settled(kSettleLimit);
  } else if (order.verb == link::verb::prepare_copy) {
    co_await prepare_copy(std::move(order.token));
  } else if (order.verb == link::verb::become) {
    co_await become(std::move(order.session), std::move(order.token));
  } else if (order.verb == link::verb::forked) {
    answer_fork(std::move(order.token));
  } else {
    co_return co_await extensions_.obey(std::move(order));
  }
  co_return extraconfig::Pairs{};
}

Task<> Tether::start_session(std::string id) {
  if (!containers_begun_) {
    co_await network_jobs_.wait_settled();
    co_await mount_jobs_.wait_settled();
  }
  co_await in_turn([]() -> Task<> { co_return; }());
  if (shutting_down_) throw Error(Code::wrong_state, "the machine is being switched off");
  const auto* configured = find_session(config_, id);
  if (configured == nullptr) throw Error(Code::not_found, "there is no session {}", id);
  const auto known = sessions_.find(id);
  if (known != sessions_.end() && !known->second.status.ended) {
    throw Error(Code::wrong_state, "session {} is running already", id);
  }
  begin_session(id, *configured);
  if (const auto begun = sessions_[id].session) co_await begun->wait_settled();
}

void Tether::note_status(const std::string& id, const SessionStatus& status) {
  const auto entry = sessions_.find(id);
  if (entry == sessions_.end()) return;
  entry->second.status = status;
  if (auto* configured = find_session(config_, id)) {
    if (status.running()) entry->second.restarts.note_start();
    if (status.ended && configured->container.empty()) note_end(id, entry->second, *configured);
    record_status(status, *configured);
    entry->second.restarts.record(*configured);
  }
  report_soon();
}

void Tether::note_end(const std::string& id, Entry& entry, const config::SessionConfig& configured) {
  const auto wait = entry.restarts.note_end(configured, entry.status);
  if (!wait) return;
  if (!configured.active || shutting_down_) return entry.restarts.give_up();
  entry.restart_ticket = ++restart_tickets_;
  spawn_detached(executor_, "restart of " + id, restart_later(id, entry.restart_ticket, *wait));
}

Task<> Tether::restart_later(std::string id, std::uint64_t ticket, Milliseconds wait) {
  const auto awaited = [&] {
    const auto entry = sessions_.find(id);
    return entry != sessions_.end() && entry->second.restart_ticket == ticket &&
           entry->second.restarts.waiting() && !shutting_down_;
  };
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (awaited()) {
    if (!co_await restarts_changed_.wait_until(deadline)) break;
  }
  const auto* configured = find_session(config_, id);
  if (!awaited() || configured == nullptr) co_return;
  config::SessionConfig again = *configured;
  again.run_block = false;
  begin_session(id, again);
}

const config::SessionConfig& Tether::running_container() const {
  for (const auto& [id, session] : config_.sessions) {
    const auto known = sessions_.find(id);
    if (known != sessions_.end() && known->second.status.running()) return session;
  }
  throw Error(Code::wrong_state, "no container of this pod is running");
}

CopyPlace Tether::copy_place(const std::string& container) const {
  const auto configured = config_.sessions.find(container);
  if (configured == config_.sessions.end())
    throw Error(Code::not_found, "there is no container {}", container);
  const auto entry = sessions_.find(container);
  CopyPlace place;
  if (entry != sessions_.end() && entry->second.session && entry->second.status.running() &&
      entry->second.session->pidfd() >= 0) {
    place.container = duplicate(entry->second.session->pidfd());
  } else {
    place.root = root_.path();
    place.read_only = configured->second.read_only_root;
  }
  return place;
}

}  // namespace berth::tether
