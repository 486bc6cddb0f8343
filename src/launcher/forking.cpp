#include <sys/statvfs.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/tail.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/disk_snapshot.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/snapshots.hpp"
#include "launcher/template_maker.hpp"

/// How a running pod becomes a snapshot, from which copies of it go on (docs/fork.md).
namespace berth::launcher {
namespace {

constexpr Milliseconds kHoldLimit{15'000};
constexpr Milliseconds kOrderLimit{10'000};
constexpr Milliseconds kMarkLimit{5'000};
/// To send the memory while the machine runs; what it still changes then is sent while it stands still.
constexpr Milliseconds kApproachLimit{30'000};
constexpr Milliseconds kReceiveLimit{30'000};
constexpr Milliseconds kQuitLimit{10'000};
constexpr int kResumeAttempts = 30;
constexpr std::size_t kTokenBytes = 16;
/// Of `berth fork` for a process in the guest.
constexpr Milliseconds kForkLimit{300'000};
constexpr std::size_t kForkOutput = 64u << 10;
constexpr std::size_t kAnswerLimit = 1000;

/// What `berth fork --for-guest` says of it: a code's name, a newline and a message.
[[noreturn]] void raise_failure(const std::string& report, const std::string& log) {
  const std::size_t newline = report.find('\n');
  if (newline != std::string::npos)
    throw Error(code_from_string(report.substr(0, newline)), "{}", report.substr(newline + 1));
  log::error("berth fork has ended: {}", trim(log));
  throw Error(Code::internal, "the host could not make the copies");
}

/// A QEMU that finds no room for the memory it receives dies without a word.
bool is_full(const std::filesystem::path& folder) {
  constexpr std::uint64_t kLeastRoom = std::uint64_t{4} << 20;
  struct statvfs status {};
  check(::statvfs(folder.c_str(), &status), "find the free disk space");
  return std::uint64_t{status.f_bavail} * status.f_frsize < kLeastRoom;
}

/// What copies are not to learn, and get of their own.
void leave_out_keys(extraconfig::Pairs& pairs) {
  config::ExecutorConfig config;
  extraconfig::decode(pairs, config);
  config.key.data.clear();
  config.entropy.data.clear();
  config.authorized_keys.clear();
  config.user_keys.clear();
  pairs =
      extraconfig::filter(extraconfig::encode(config), extraconfig::kGuestScopes, describe::scope::hidden);
}

}  // namespace

/// Why a pod with such things has no copies.
void Launcher::check_can_be_copied() const {
  const auto refuse = [&](std::string_view what, std::string_view why) {
    throw Error(Code::unsupported, "container {} has {}: {}", pod_.name(), what, why);
  };
  if (!pod_.host.folders.empty()) refuse("folders of this host", "a copy cannot share their server");
  if (!pod_.host.volumes.empty()) refuse("volumes", "one machine at a time can have a volume");
}

Task<> Launcher::snapshot(std::string name) {
  SnapshotStore::check_any_name(name);
  check_can_be_copied();
  while (snapshotting_ > 0 && !exit_) co_await changed_.wait();
  co_await wait_pause_settled();
  require_unpaused();
  if (updates_ > 0) throw Error(Code::busy, "container {} is being updated: try again", pod_.name());
  if (copies_ > 0) throw Error(Code::busy, "files of container {} are being copied: try again", pod_.name());
  const Counted snapshotting(snapshotting_, changed_);
  co_await give_up_disk();
  if (given_up_disk_)
    throw Error(Code::busy, "the machine of container {} is busy with an earlier snapshot still: try again",
                pod_.name());
  SnapshotStore store(settings_.paths);
  if (store.contains(name)) throw Error(Code::already_exists, "there is a snapshot {} already", name);
  SnapshotStore::Draft draft = store.begin(name, machine_->size().memory_bytes);
  std::unique_ptr<DiskSnapshot> disk;
  std::exception_ptr failure;
  try {
    Snapshot snapshot;
    snapshot.name = name;
    co_await fill_snapshot(draft, snapshot, disk);
    store.keep(std::move(draft), snapshot);
  } catch (...) {
    failure = std::current_exception();
  }
  const bool full = failure && is_full(settings_.paths.snapshots());
  if (failure) store.abandon(name);
  // Whoever asked for it may be gone.
  store.remove_unless_reserved(name);
  if (!failure) co_return;
  given_up_disk_ = std::move(disk);
  co_await give_up_disk();
  if (full)
    throw Error(Code::capacity, "there is no space left in {} for a copy of container {}",
                settings_.paths.snapshots().string(), pod_.name());
  std::rethrow_exception(failure);
}

Task<> Launcher::fill_snapshot(const SnapshotStore::Draft& draft, Snapshot& snapshot,
                               std::unique_ptr<DiskSnapshot>& disk) {
  trace::Span span("snapshot: receiver");
  auto [ours, theirs] = make_socket_pair();
  const EmptyDisks empty;
  hypervisor::MachineSpec spec = machine_shape_;
  spec.name = "berth-snapshot";
  spec.forwards.clear();
  spec.credentials = template_credentials();
  spec.disks = empty.disks();
  spec.memory_file = draft.memory.get();
  spec.receives = theirs.get();
  const std::unique_ptr<hypervisor::Machine> receiver = co_await hypervisor_.start(std::move(spec));
  theirs.reset();
  disk = std::make_unique<DiskSnapshot>(settings_.paths, pod_.id());
  span.done();
  trace::Span approach("snapshot: memory, while the pod runs");
  std::unique_ptr<hypervisor::MachineCopy> copy = co_await machine_->begin_copy(ours.get());
  co_await copy->approach(kApproachLimit);
  approach.done();
  co_await copy_instant(std::move(copy), *disk, snapshot);
  const trace::Span rest("snapshot: files");
  snapshot.layer = disk->commit({Snapshot::disk_user(snapshot.name)}).id;
  co_await disk->seal(*machine_);
  co_await receiver->wait_received(kReceiveLimit);
  co_await receiver->freeze(draft.state.get());
  co_await receiver->quit(kQuitLimit);
}

/// It stays for the next try when the machine does not say what has become of it.
Task<> Launcher::give_up_disk() {
  if (!given_up_disk_) co_return;
  if (!exit_) {
    try {
      co_await given_up_disk_->settle(*machine_);
    } catch (const Error& error) {
      log::warning("settle a snapshot of the disk: {}", error.what());
      if (!exit_) co_return;
    }
  }
  if (!exit_) given_up_disk_->give_up();
  given_up_disk_.reset();
}

/// The pod stands still as shortly as can be, and goes on whatever happens.
Task<> Launcher::copy_instant(std::unique_ptr<hypervisor::MachineCopy> copy, DiskSnapshot& disk,
                              Snapshot& snapshot) {
  const trace::Span span("snapshot: the pod stands still");
  const Counted pausing(pausing_, changed_);
  co_await guest_->hold(kHoldLimit);
  const auto begin = std::chrono::steady_clock::now();
  std::exception_ptr failure;
  try {
    co_await prepare_copy();
    note_snapshot(snapshot);
    co_await copy->stop();
    co_await disk.take(*machine_);
    co_await copy->finish();
  } catch (...) {
    failure = std::current_exception();
  }
  copy.reset();
  try {
    co_await resume_after_copy();
    co_await go_on();
  } catch (const Error& error) {
    if (!exit_) log::error("going on after a snapshot: {}", error.what());
  }
  snapshot.interrupted = Nanoseconds(std::chrono::steady_clock::now() - begin).count();
  co_await deliver_later();
  if (failure) std::rethrow_exception(failure);
  require_running();
}

/// A QEMU that waits for the host's disk answers late, and nobody else would let the machine go on.
Task<> Launcher::resume_after_copy() {
  for (int attempt = 1; attempt < kResumeAttempts && !exit_; ++attempt) {
    try {
      co_await machine_->resume();
      co_return;
    } catch (const Error& error) {
      if (error.code() != Code::timeout) throw;
      log::warning("resume after a snapshot: {}", error.what());
    }
  }
}

/// All that the guest had to say has been said, and nothing more comes.
Task<> Launcher::prepare_copy() {
  link::Order order;
  order.verb = link::verb::prepare_copy;
  order.token = to_hex(random_bytes(kTokenBytes));
  mark_.clear();
  const std::string token = order.token;
  co_await guest_->order_held(std::move(order), kOrderLimit);
  const auto deadline = std::chrono::steady_clock::now() + kMarkLimit;
  while (mark_ != token && !exit_) {
    if (!co_await changed_.wait_until(deadline))
      throw Error(Code::timeout, "the guest did not say that its output is complete");
  }
  require_running();
}

void Launcher::note_snapshot(Snapshot& snapshot) const {
  describe_machine(machine_shape_, snapshot);
  snapshot.pod = pod_.id();
  snapshot.created = clock_.now().count();
  snapshot.qemu = settings_.qemu;
  snapshot.runs_ended = runs_ended_;
  snapshot.outputs_ended = outputs_ended_;
  snapshot.guest = guest_keys_;
  leave_out_keys(snapshot.guest);
  snapshot.record = record::encode(pod_);
}

/// What a process in the guest asks for, which is hostile: the user has said how many copies it may have.
void Launcher::note_fork_request() {
  const config::ForkRequest& request = guest_config_.fork_request;
  if (request.count <= 0 || request.sequence <= fork_requests_seen_) return;
  fork_requests_seen_ = request.sequence;
  spawn_detached(executor_, "fork for the guest", [](Launcher* self, std::int64_t count) -> Task<> {
    co_await self->fork_for_guest(count);
  }(this, request.count));
}

Task<> Launcher::fork_for_guest(std::int64_t count) {
  link::Order order;
  order.verb = link::verb::forked;
  std::int64_t taken = 0;
  try {
    const std::int64_t left = pod_.host.copy_of.empty() ? pod_.session().fork_limit - forks_made_ : 0;
    if (count > left)
      throw Error(Code::capacity, "{} copies were asked for and {} are left", count,
                  std::max<std::int64_t>(left, 0));
    taken = count;
    forks_made_ += taken;
    order.token = "parent " + co_await run_fork(count);
  } catch (const Error& error) {
    forks_made_ -= taken;
    order.token = fmt::format("error {} {}", to_string(error.code()), printable(error.what(), kAnswerLimit));
  }
  co_await guest_->order(std::move(order), kOrderLimit);
}

/// The ids of the copies, with blanks between them.
Task<std::string> Launcher::run_fork(std::int64_t count) {
  auto [out_read, out_write] = make_pipe();
  auto [error_read, error_write] = make_pipe();
  ProcessSpec spec;
  spec.program = settings_.paths.programs / "berth";
  spec.arguments = {"--root=" + settings_.paths.data.string(),
                    "--runtime=" + settings_.paths.runtime.string(),
                    "fork",
                    "--for-guest",
                    fmt::format("--number={}", count),
                    pod_.id()};
  spec.standard_output = out_write.get();
  spec.standard_error = error_write.get();
  spec.directory = "/";
  Process process = Process::spawn(spec);
  out_write.reset();
  error_write.reset();
  Tail out(executor_, std::move(out_read), kForkOutput);
  Tail errors(executor_, std::move(error_read), kForkOutput);
  if (!co_await out.wait_end(kForkLimit)) throw Error(Code::timeout, "the copies were not made in time");
  const ExitStatus status = co_await berth::wait_exit(process);
  co_await errors.wait_end(kOrderLimit);
  if (!status.success()) raise_failure(std::string(trim(out.text())), errors.text());
  co_return join(split(trim(out.text()), '\n'), " ");
}

}  // namespace berth::launcher
