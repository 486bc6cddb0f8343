#include "launcher/cleanup.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "disk/store.hpp"
#include "volume/store.hpp"

namespace berth::launcher {
namespace {

constexpr int kMachineEndMilliseconds = 5000;
constexpr std::int32_t kUnknownExit = 255;

/// QEMU dies with its launcher; this is for one that has not yet.
void end_machine(const record::ProcessIdentity& machine) {
  if (machine.pid <= 0) return;
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, machine.pid, 0)));
  if (!process || process_start_ticks(machine.pid) != machine.start_ticks) return;
  ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  pollfd ended{process.get(), POLLIN, 0};
  ::poll(&ended, 1, kMachineEndMilliseconds);
}

bool was_active(record::Status status) {
  switch (status) {
    case record::Status::starting:
    case record::Status::running:
    case record::Status::paused:
    case record::Status::restarting:
    case record::Status::stopping:
      return true;
    default:
      return false;
  }
}

}  // namespace

void end_left_machine(const record::Pod& pod) {
  end_machine(pod.host.machine);
}

void remove_pod(record::Store& records, const Paths& paths, std::string_view id, FileLock& lock,
                AnonymousVolumes volumes) {
  const std::optional<record::Pod> pod = records.find(id);
  // One that is being made may have some that its record does not know yet.
  const bool has_volumes =
      pod && (!pod->host.volumes.empty() || records.intent(id) == record::Intent::create);
  std::optional<volume::Store> store;
  if (has_volumes && volumes == AnonymousVolumes::remove) {
    // Before the intention, so that whoever completes it need not know of them.
    store.emplace(paths.database(), paths.volumes());
    store->disown(id);
  }
  if (pod) records.set_intent(id, record::Intent::remove);
  remove_tree(paths.pod_runtime(id));
  remove_tree(paths.pod(id));
  disk::Store(paths.database(), paths.disks()).release(disk::pod_user(id));
  records.remove(id);
  lock.remove_file();
  if (store) store->sweep();
}

bool recover_pod(record::Store& records, const Paths& paths, std::string_view id, FileLock& lock,
                 const Clock& clock) {
  const std::optional<record::Pod> pod = records.find(id);
  if (!pod) {
    lock.remove_file();
    return false;
  }
  if (was_active(pod->host.status)) end_machine(pod->host.machine);
  const bool never_ran = pod->host.status == record::Status::starting && record::goes_with_failure(*pod);
  const bool ended = was_active(pod->host.status) && pod->host.auto_remove;
  const record::Intent intent = records.intent(id);
  if (intent != record::Intent::none || never_ran || ended) {
    // Whose removal was begun has been asked about its volumes already.
    remove_pod(records, paths, id, lock,
               intent == record::Intent::remove ? AnonymousVolumes::keep : AnonymousVolumes::remove);
    return false;
  }
  if (!was_active(pod->host.status)) return true;
  remove_tree(paths.pod_runtime(id));
  records.update(id, [&](record::Pod& changed) {
    changed.host.status = record::Status::exited;
    changed.host.finished = clock.now().count();
    changed.host.exit_code = kUnknownExit;
    changed.host.error = "the launcher of this container ended unexpectedly";
    changed.host.launcher = {};
    changed.host.machine = {};
    changed.executor.execs.clear();
  });
  return true;
}

}  // namespace berth::launcher
