#include <memory>
#include <optional>

#include "base/error.hpp"
#include "launcher/host_folders.hpp"
#include "launcher/launcher.hpp"

/// A machine with the file servers for its folders of the host.
namespace berth::launcher {

Task<> Launcher::start_with_folders(hypervisor::MachineSpec spec) {
  constexpr Milliseconds kFolderEndLimit{2'000};
  if (pod_.host.folders.empty()) {
    machine_ = co_await hypervisor_.start(std::move(spec));
    co_return;
  }
  folders_ = std::make_unique<HostFolders>(executor_, settings_.paths.pod_runtime(pod_.id()), settings_.paths,
                                           pod_.host.folders);
  spec.shared_folders = folders_->shared();
  std::optional<Error> failure;
  try {
    machine_ = co_await hypervisor_.start(std::move(spec));
  } catch (const Error& error) {
    failure = error;
  }
  if (failure) {
    // A server that fails takes QEMU with it, which does not know why then.
    std::optional<Error> why;
    if (failure->code() == Code::internal) why = co_await folders_->find_failure(kFolderEndLimit);
    throw why ? *why : *failure;
  }
  folders_->machine_has_them();
  spawn_detached(executor_, "host folders",
                 [](Launcher* self) -> Task<> { co_await self->watch_folders(); }(this));
}

/// Without its folder a container cannot go on: whatever touches it there would wait for ever.
Task<> Launcher::watch_folders() {
  const Error why = co_await folders_->wait_end_of_one();
  co_await blame_guest(why);
}

}  // namespace berth::launcher
