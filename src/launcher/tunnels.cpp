#include "base/files.hpp"
#include "base/io.hpp"
#include "launcher/launcher.hpp"

/// Connections into the pod, and what a user's SSH client needs for one.
namespace berth::launcher {

Task<std::shared_ptr<link::ssh::Channel>> Launcher::open_forward(std::uint16_t port) {
  require_unpaused();
  link::ssh::ForwardTarget target{"localhost", port};
  co_return co_await guest_->forward(std::move(target));
}

Task<std::shared_ptr<link::ssh::Channel>> Launcher::open_login() {
  require_unpaused();
  link::ssh::Request request;
  request.subsystem = link::ssh::kLoginSubsystem;
  co_return co_await guest_->open_channel(std::move(request));
}

void Launcher::write_login_files() const {
  const GuestKeys& keys = guest_->keys();
  make_directories(settings_.paths.pod_runtime(pod_.id()), 0700);
  // They are of this run of the machine, and worth nothing after it.
  write_file_atomically(settings_.paths.pod_login_key(pod_.id()), keys.login.private_key, 0600,
                        AfterPowerCut::lost);
  write_file_atomically(settings_.paths.pod_known_hosts(pod_.id()),
                        pod_.id() + " " + keys.host.public_key + "\n", 0600, AfterPowerCut::lost);
}

}  // namespace berth::launcher
