#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

namespace berth::launcher {

/// Where berth keeps things. Root: /var/lib/berth and /run/berth; others: below XDG_DATA_HOME
/// (~/.local/share) and XDG_RUNTIME_DIR. BERTH_ROOT and BERTH_RUNTIME override both.
struct Paths {
  std::filesystem::path data;      ///< records, images, pods: survives a reboot
  std::filesystem::path runtime;   ///< sockets: does not
  std::filesystem::path programs;  ///< berth-launcher and berth-tether: beside berth, else ../lib/berth

  static Paths of_this_user();

  std::filesystem::path database() const { return data / "records.db"; }
  std::filesystem::path images() const { return data / "images"; }
  std::filesystem::path volumes() const { return data / "volumes"; }
  std::filesystem::path volume_image(std::string_view id) const;
  std::filesystem::path disks() const { return data / "disks"; }
  std::filesystem::path snapshots() const { return data / "snapshots"; }
  std::filesystem::path templates() const { return data / "templates"; }
  std::filesystem::path cache() const { return data / "cache"; }  ///< initramfs, probe answers, empty disks
  std::filesystem::path pod(std::string_view id) const { return data / "pods" / id; }
  std::filesystem::path pod_runtime(std::string_view id) const { return runtime / "pods" / id; }
  /// For a user's SSH client, while the pod runs.
  std::filesystem::path pod_login_key(std::string_view id) const { return pod_runtime(id) / "login_key"; }
  std::filesystem::path pod_known_hosts(std::string_view id) const { return pod_runtime(id) / "known_hosts"; }
  std::filesystem::path pod_lock(std::string_view id) const { return data / "locks" / id; }
  std::filesystem::path launcher_program() const { return programs / "berth-launcher"; }
  std::filesystem::path tether_program() const { return programs / "berth-tether"; }
};

}  // namespace berth::launcher
