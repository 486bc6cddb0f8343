#include <numeric>
#include <set>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/trace.hpp"
#include "disk/store.hpp"
#include "engine/container_spec.hpp"
#include "engine/create_options.hpp"
#include "engine/engine.hpp"
#include "engine/engine_state.hpp"
#include "engine/machine_parts.hpp"
#include "engine/new_record.hpp"
#include "engine/ports.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "launcher/cleanup.hpp"

/// Copies of running containers and snapshots of them (docs/fork.md).
namespace berth::engine {
namespace {

constexpr std::chrono::seconds kSnapshotLimit{180};
constexpr std::chrono::seconds kStartLimit{300};
constexpr std::uint32_t kMostCopies = 1000;
constexpr int kPortAttempts = 4;
/// What a copy takes of the host's memory at least; the rest it shares with the others.
constexpr std::uint64_t kLeastOfCopy = std::uint64_t{48} << 20;

/// The name of a snapshot in the making. Destroyed, it takes with it what a failure has left, and a passing
/// snapshot altogether.
class Reservation {
 public:
  Reservation(launcher::SnapshotStore store, std::string name)
      : store_(std::move(store)), name_(std::move(name)), lock_(store_.reserve(name_)) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    try {
      store_.end_reservation(name_, lock_);
    } catch (const std::exception& error) {
      log::warning("what is left of snapshot {} is for the next one to remove: {}", name_, error.what());
    }
  }
  const std::string& name() const { return name_; }

 private:
  launcher::SnapshotStore store_;
  std::string name_;
  FileLock lock_;
};

std::string snapshot_target(const std::string& name) {
  return "/v1/snapshot?name=" + name;
}

std::string name_of_copy(const ForkOptions& options, std::uint32_t number) {
  if (options.name.empty() || options.count == 1) return options.name;
  return fmt::format("{}-{}", options.name, number);
}

void check_same_qemu(const launcher::Snapshot& snapshot) {
  if (snapshot.qemu == hypervisor::QemuHypervisor().program_fingerprint()) return;
  throw Error(Code::unsupported,
              "the snapshot {} was made with another QEMU than the one that is installed now", snapshot.name);
}

}  // namespace

launcher::SnapshotStore Engine::snapshots() const {
  return launcher::SnapshotStore(state_->paths);
}

/// Before the original is disturbed; names that are taken later are found when the records are made.
void Engine::check_names(const ForkOptions& options) {
  if (options.name.empty()) return;
  check_container_name(name_of_copy(options, options.count));
  std::set<std::string> names;
  for (std::uint32_t number = 1; number <= options.count; ++number)
    names.insert(name_of_copy(options, number));
  for (const record::Pod& pod : state_->records->list()) {
    if (names.contains(pod.name()))
      throw Error(Code::already_exists, "the name \"{}\" is in use by container {}: choose another name",
                  pod.name(), short_id(pod.id()));
  }
}

void Engine::snapshot(std::string_view name, const std::string& snapshot_name) {
  launcher::SnapshotStore::check_name(snapshot_name);
  const record::Pod pod = state_->running(name);
  launcher::SnapshotStore store = snapshots();
  store.sweep();
  sweep_copies();
  const Reservation reserved(store, snapshot_name);
  state_->client(pod).request(snapshot_target(snapshot_name), kSnapshotLimit);
}

std::vector<std::string> Engine::fork(std::string_view name, const ForkOptions& options) {
  if (options.count < 1 || options.count > kMostCopies)
    throw Error(Code::invalid_argument, "{} copies: at least 1 and at most {}", options.count, kMostCopies);
  check_names(options);
  const record::Pod pod = state_->running(name);
  check_memory(kLeastOfCopy * options.count);
  launcher::SnapshotStore store = snapshots();
  store.sweep();
  sweep_copies();
  const Reservation passing(store, launcher::SnapshotStore::passing_name());
  state_->client(pod).request(snapshot_target(passing.name()), kSnapshotLimit);
  const launcher::Snapshot snapshot = store.get(passing.name());
  std::vector<record::Pod> copies(options.count);
  try {
    make_copies(snapshot, options, copies);
  } catch (const Error&) {
    discard(copies);
    throw;
  }
  std::vector<std::string> ids;
  for (const record::Pod& copy : copies) ids.push_back(copy.id());
  return ids;
}

record::Pod Engine::create_from_snapshot(const std::string& snapshot_name, const std::string& name,
                                         bool auto_remove) {
  launcher::SnapshotStore::check_name(snapshot_name);
  launcher::Snapshot snapshot = snapshots().get(snapshot_name);
  check_same_qemu(snapshot);
  record::Pod original = record::decode(snapshot.record);
  original.host.auto_remove = auto_remove;
  snapshot.record = record::encode(original);
  HostPorts ports(state_->records->held_ports());
  return prepare_copy(snapshot, name, ports);
}

/// Whose port another program took before the machine had it is made again, with another one.
void Engine::make_copies(const launcher::Snapshot& snapshot, const ForkOptions& options,
                         std::vector<record::Pod>& copies) {
  HostPorts ports(state_->records->held_ports());
  std::vector<std::uint32_t> missing(options.count);
  std::iota(missing.begin(), missing.end(), 1u);
  for (int attempt = 1; !missing.empty(); ++attempt) {
    trace::Span span("fork: records");
    for (const std::uint32_t number : missing)
      copies.at(number - 1) = prepare_copy(snapshot, name_of_copy(options, number), ports);
    span.done();
    missing = start_copies(copies, missing, options.for_guest);
    if (!missing.empty() && attempt == kPortAttempts)
      throw Error(Code::already_exists,
                  "other programs took the free ports of this host before the copies had them: try again");
  }
}

/// Whoever looks at the records meanwhile meets the lock, and not a container that nobody makes any more.
record::Pod Engine::prepare_copy(const launcher::Snapshot& snapshot, const std::string& name,
                                 HostPorts& ports) {
  record::Pod copy = make_copy(record::decode(snapshot.record), name, state_->clock.now());
  copy.host.snapshot = snapshot.name;
  FileLock lock = state_->lock(copy);
  try {
    copy = store_new(*state_->records, copy, ports);
    make_directories(state_->paths.pod(copy.id()), 0700);
    give_disk(snapshot, copy);
  } catch (const Error&) {
    launcher::remove_pod(*state_->records, state_->paths, copy.id(), lock, AnonymousVolumes::remove);
    throw;
  }
  return copy;
}

void Engine::give_disk(const launcher::Snapshot& snapshot, const record::Pod& copy) {
  disk::Store(state_->paths.database(), state_->paths.disks())
      .copy(snapshot.layer, {disk::pod_user(copy.id())});
  state_->records->set_intent(copy.id(), record::Intent::none);
}

/// All their machines at once; returns when the processes of each go on. Removed and returned are those whose
/// port is taken.
std::vector<std::uint32_t> Engine::start_copies(std::vector<record::Pod>& copies,
                                                const std::vector<std::uint32_t>& numbers, bool for_guest) {
  const trace::Span span("fork: start");
  std::vector<std::pair<std::uint32_t, launcher::PendingRequest>> started;
  std::vector<std::uint32_t> refused;
  const auto note = [&](std::uint32_t number, const Error& error) {
    if (error.code() != Code::already_exists) throw;
    log::warning("copy {} is made again: {}", number, error.what());
    refused.push_back(number);
  };
  for (const std::uint32_t number : numbers) {
    try {
      started.emplace_back(number,
                           launcher::PendingRequest(launch(copies.at(number - 1), for_guest ? number : 0),
                                                    "/v1/started", kStartLimit));
    } catch (const Error& error) {
      note(number, error);
    }
  }
  for (auto& [number, request] : started) {
    try {
      request.answer();
    } catch (const Error& error) {
      note(number, error);
    }
  }
  for (const std::uint32_t number : refused) discard({copies.at(number - 1)});
  return refused;
}

/// Those of forks that were killed before they launched them.
void Engine::sweep_copies() {
  const launcher::SnapshotStore store = snapshots();
  const auto is_left = [&](const record::Pod& pod) {
    return launcher::SnapshotStore::is_passing(pod.host.snapshot) && pod.host.started == 0 &&
           !is_active(pod.host.status) && !store.contains(pod.host.snapshot);
  };
  for (const record::Pod& pod : state_->records->list()) {
    if (!is_left(pod)) continue;
    std::optional<FileLock> lock = FileLock::try_acquire(state_->paths.pod_lock(pod.id()));
    if (!lock) continue;
    const std::optional<record::Pod> now = state_->records->find(pod.id());
    if (now && !is_left(*now)) continue;
    launcher::remove_pod(*state_->records, state_->paths, pod.id(), *lock, AnonymousVolumes::remove);
  }
}

void Engine::discard(const std::vector<record::Pod>& copies) {
  for (const record::Pod& copy : copies) {
    try {
      if (state_->records->find(copy.id())) remove(copy.id(), true, AnonymousVolumes::remove);
    } catch (const Error& error) {
      log::warning("removing a copy that is not needed: {}", error.what());
    }
  }
}

}  // namespace berth::engine
