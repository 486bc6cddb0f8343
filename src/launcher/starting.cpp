#include <fcntl.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/trace.hpp"
#include "extraconfig/codec.hpp"
#include "launcher/host_folders.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/pod_disk.hpp"
#include "launcher/volumes.hpp"

/// From nothing to a machine whose guest has its configuration.
namespace berth::launcher {
namespace {

constexpr Milliseconds kConfigureLimit{60'000};
constexpr Milliseconds kFirstClientLimit{10'000};

record::ProcessIdentity identity_of(std::int32_t pid) {
  return {pid, process_start_ticks(pid)};
}

}  // namespace

Task<> Launcher::start_machine() {
  trace::Span span("disks and volumes");
  note_unsynced([&](record::Pod& pod) {
    pod.host.launcher = identity_of(::getpid());
    pod.host.machine = {};
    if (settings_.files_only) return;
    pod.host.status = record::Status::starting;
    pod.host.error.clear();
    pod.host.exit_code = 0;
    pod.host.oom_killed = false;
  });
  const UniqueFd image = open_file(settings_.image, O_RDONLY);
  assembled_template_ = take_assembled_template();
  const PodDisk scratch = open_disk(settings_.paths, pod_);
  hypervisor::MachineSpec spec = settings_.files_only ? files_machine_spec(pod_, settings_.accelerator)
                                                      : machine_spec(pod_, settings_.accelerator);
  spec.kernel = settings_.kernel;
  spec.initramfs = settings_.initramfs;
  spec.disks = {{image.get(), true, kImageDisk}, scratch.disk};
  volumes_ = take_volumes(records_, settings_.paths, pod_, Milliseconds(0));
  for (const VolumeDisk& volume : volumes_)
    spec.disks.push_back({volume.disk.file.get(), volume.disk.read_only, volume.serial});
  span.done();
  trace::Span machine_span("machine");
  co_await begin_machine(std::move(spec));
  machine_span.done();
  const trace::Span guest_span("keys and ports");

  Guest::Callbacks callbacks;
  callbacks.on_report = [this](const extraconfig::Difference& keys) { on_report(keys); };
  callbacks.on_output = [this](link::OutputRecord&& record) { on_output(std::move(record)); };
  callbacks.on_broken = [this](const Error& error) {
    spawn_detached(executor_, "guest", [](Launcher* self, Error why) -> Task<> {
      co_await self->blame_guest(std::move(why));
    }(this, error));
  };
  guest_ = std::make_unique<Guest>(executor_, *machine_, std::move(callbacks));
  const std::int32_t machine_pid = machine_->pid();
  note_unsynced([&](record::Pod& pod) { pod.host.machine = identity_of(machine_pid); });
  spawn_detached(executor_, "machine",
                 [](Launcher* self) -> Task<> { co_await self->watch_machine(); }(this));
}

/// What no longer holds when the host has lost its power.
void Launcher::note_unsynced(const std::function<void(record::Pod&)>& change) {
  const record::Store::Unsynced unsynced(records_);
  pod_ = records_.update(pod_.id(), change);
}

Task<> Launcher::watch_machine() {
  const hypervisor::MachineEnd end = co_await machine_->wait_end();
  if (exit_) co_return;
  const std::string console = machine_->console_tail();
  log::error("machine: {}; the console's end:\n{}", end.describe(), console);
  using Reason = hypervisor::MachineEnd::Reason;
  if (end.reason == Reason::panicked || end.reason == Reason::reset || end.reason == Reason::failed)
    distrust_template();
  fail(Error(Code::unavailable, "{}", end.describe()));
}

/// A port also breaks because the machine ended: then the machine's own end says more, and comes soon.
Task<> Launcher::blame_guest(Error error) {
  constexpr Milliseconds kMachineEndLimit{3'000};
  const auto deadline = std::chrono::steady_clock::now() + kMachineEndLimit;
  while (!exit_) {
    if (!co_await changed_.wait_until(deadline)) break;
  }
  if (exit_) co_return;
  log::error("{}; the console's end:\n{}", error.what(), machine_->console_tail());
  fail(error);
}

Task<> Launcher::configure_guest() {
  trace::Span span("guest: hello and first client");
  bool blamed = false;
  try {
    // A clone's tether has said it before it was frozen.
    if (!is_clone_) co_await guest_->wait_hello(settings_.boot_limit);
  } catch (const Error& error) {
    if (exit_) co_return;  // the machine's own end says more
    if (error.code() != Code::timeout) {
      blamed = true;
    } else {
      log::error("console of the silent machine:\n{}", machine_->console_tail());
      throw;
    }
  }
  // A broken port has somebody looking at it already.
  while (blamed && !exit_) co_await changed_.wait();
  if (exit_) co_return;
  co_await wait_first_client();
  guest_config_ = guest_config(pod_, guest_->keys(), clock_.now());
  if (folders_) folders_->complete(guest_config_.mounts);
  guest_config_.sessions.at(pod_.id()).window_columns = first_attach_.columns;
  guest_config_.sessions.at(pod_.id()).window_rows = first_attach_.rows;
  if (settings_.files_only)
    keep_files_only(guest_config_);
  else
    write_login_files();
  span.done();
  const trace::Span config_span("guest: configuration");
  blamed = false;
  try {
    co_await send_config();
  } catch (const Error& error) {
    if (error.code() == Code::timeout) distrust_template();
    if (!exit_ && !guest_->broken()) throw;
    blamed = true;
  }
  while (blamed && !exit_) co_await changed_.wait();
}

Task<> Launcher::wait_first_client() {
  const auto deadline = std::chrono::steady_clock::now() + kFirstClientLimit;
  while (first_client_pending_) {
    if (!co_await changed_.wait_until(deadline)) break;
  }
}

Task<> Launcher::send_config() {
  extraconfig::Pairs fresh = extraconfig::filter(extraconfig::encode(guest_config_),
                                                 extraconfig::kGuestScopes, describe::scope::hidden);
  extraconfig::Difference difference = extraconfig::diff(guest_keys_, fresh);
  if (difference.empty()) co_return;
  guest_keys_ = std::move(fresh);
  co_await guest_->configure(std::move(difference), kConfigureLimit);
}

}  // namespace berth::launcher
