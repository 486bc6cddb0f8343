#include "engine/create_options.hpp"

#include <unistd.h>

#include <filesystem>
#include <set>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/signals.hpp"
#include "base/text.hpp"
#include "config/capabilities.hpp"
#include "config/network_types.hpp"
#include "config/sysctls.hpp"
#include "volume/store.hpp"

namespace berth::engine {
namespace {

constexpr std::size_t kHostNameLimit = 63;
constexpr std::int64_t kMostOomScore = 1000;

void check_names(const CreateOptions& options) {
  check_container_name(options.name);
  if (options.hostname.size() > kHostNameLimit) {
    throw Error(Code::invalid_argument, "the host name is longer than {} characters", kHostNameLimit);
  }
}

void check_network(const CreateOptions& options) {
  if (options.network != "user" && options.network != "none") {
    throw Error(Code::invalid_argument, "unknown network '{}': use user or none", printable(options.network));
  }
  if (options.network == "none" && !options.ports.empty()) {
    throw Error(Code::invalid_argument,
                "a container without a network cannot publish ports: leave out -p or --network none");
  }
  if (options.network == "none" && !options.dns.empty()) {
    throw Error(Code::invalid_argument,
                "a container without a network asks no name server: leave out --dns or --network none");
  }
  for (const std::string& server : options.dns) {
    config::IpAddress address;
    if (!address.set_text(server) || address.empty())
      throw Error(Code::invalid_argument, "--dns '{}' is not an IP address", printable(server));
  }
}

void check_process(const CreateOptions& options) {
  for (const std::string& entry : options.environment) {
    if (entry.find('=') == std::string::npos || entry.front() == '=') {
      throw Error(Code::invalid_argument, "'{}' is not an environment variable: use NAME=VALUE",
                  printable(entry));
    }
  }
  if (!options.working_directory.empty()) check_working_directory(options.working_directory);
  if (!options.stop_signal.empty()) check_stop_signal(options.stop_signal);
}

void check_confinement(const CreateOptions& options) {
  config::adjust_default_capabilities(options.cap_add, options.cap_drop);
  parse_security_options(options.security_options);
  for (const config::Ulimit& limit : options.ulimits) config::check_ulimit(limit);
  for (const auto& [name, value] : options.sysctls) config::check_sysctl(name);
  if (options.shm_bytes > static_cast<std::uint64_t>(INT64_MAX)) {
    throw Error(Code::invalid_argument, "a /dev/shm of {} bytes cannot be", options.shm_bytes);
  }
  if (options.oom_score_adj < -kMostOomScore || options.oom_score_adj > kMostOomScore) {
    throw Error(Code::invalid_argument, "the OOM score adjustment {} must be from {} to {}",
                options.oom_score_adj, -kMostOomScore, kMostOomScore);
  }
}

/// Throws invalid-argument for what can be no mount's place, or is another's.
void check_mount_path(const std::string& path, std::set<std::string>& taken) {
  constexpr std::size_t kLongest = 4000;
  if (!path.starts_with('/') || path.size() > kLongest) {
    throw Error(Code::invalid_argument, "'{}' is no place for a mount: the path must be absolute",
                printable(path, 200));
  }
  const std::string place = mount_path(path);
  if (place == "/")
    throw Error(Code::invalid_argument, "nothing can be mounted at '/': name a folder below it");
  if (!taken.insert(place).second)
    throw Error(Code::invalid_argument, "duplicate mount point: {} is given twice", printable(place));
}

void check_mounts(const CreateOptions& options) {
  // A machine has places for 24 disks and folders, of which the image and the container's own disk take two.
  constexpr std::size_t kMost = 22;
  if (options.volumes.size() + options.folders.size() > kMost) {
    throw Error(Code::invalid_argument,
                "{} volumes and folders of this host are too many for one container: give at most {}",
                options.volumes.size() + options.folders.size(), kMost);
  }
  std::set<std::string> paths;
  std::set<std::string> names;
  for (const VolumeRequest& request : options.volumes) {
    check_mount_path(request.path, paths);
    if (request.name.empty()) continue;
    volume::check_name(request.name);
    if (!names.insert(request.name).second) {
      throw Error(Code::invalid_argument,
                  "the volume {} is given twice: a container sees a volume at one place only", request.name);
    }
  }
  for (const record::HostFolder& folder : options.folders) {
    check_mount_path(folder.path, paths);
    if (!folder.source.starts_with('/'))
      throw Error(Code::invalid_argument, "'{}' is no folder of this host: the path must be absolute",
                  printable(folder.source, 200));
  }
  for (const auto& [path, mode] : options.tmpfs) check_mount_path(path, paths);
}

/// What a container has of disks: its own, and those of its volumes.
void check_io_limits(const CreateOptions& options) {
  std::set<std::string> places{"/"};
  for (const VolumeRequest& request : options.volumes) places.insert(mount_path(request.path));
  std::set<std::string> limited;
  for (const config::IoLimit& limit : options.io_limits) {
    if (!places.contains(mount_path(limit.path))) {
      throw Error(Code::invalid_argument,
                  "no disk of this container is at '{}': limit / for its own disk, or the place of a volume",
                  printable(limit.path));
    }
    if (!limited.insert(mount_path(limit.path)).second)
      throw Error(Code::invalid_argument, "the disk at {} is limited twice", printable(limit.path));
    for (const std::int64_t value : {limit.read_bps, limit.write_bps, limit.read_iops, limit.write_iops}) {
      if (value < 0) throw Error(Code::invalid_argument, "the limit {} of a disk is negative", value);
    }
  }
}

void check_restart(const CreateOptions& options) {
  const std::string& policy = options.restart.name;
  if (policy == "no") return;
  if (policy != "always" && policy != "unless-stopped" && policy != "on-failure") {
    throw Error(Code::invalid_argument, "--restart '{}': use no, on-failure[:N], always or unless-stopped",
                printable(policy));
  }
  if (options.auto_remove) {
    throw Error(Code::invalid_argument, "--rm and --restart exclude each other: leave out one of them");
  }
}

}  // namespace

void check_cpus(double cpus) {
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (cpus > 0 && cpus <= static_cast<double>(online)) return;
  throw Error(Code::invalid_argument, "--cpus {} is out of range: this host has {} processors", cpus, online);
}

void check_memory_size(std::uint64_t bytes) {
  if (bytes >= kLeastMemory) return;
  throw Error(Code::invalid_argument, "{} of memory is too little for a virtual machine: give at least {}",
              format_binary_size(bytes), format_binary_size(kLeastMemory));
}

void check_container_name(std::string_view name) {
  if (name.empty() || is_valid_name(name)) return;
  throw Error(Code::invalid_argument,
              "invalid container name '{}': use [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 128 characters",
              printable(name));
}

void check_options(const CreateOptions& options) {
  check_cpus(options.cpus);
  if (options.memory_bytes != 0) check_memory_size(options.memory_bytes);
  check_names(options);
  check_network(options);
  check_process(options);
  check_confinement(options);
  check_mounts(options);
  check_io_limits(options);
  check_restart(options);
}

std::string mount_path(std::string_view path) {
  std::string normal = std::filesystem::path(path).lexically_normal();
  while (normal.size() > 1 && normal.ends_with('/')) normal.pop_back();
  return normal;
}

void check_stop_signal(const std::string& name) {
  if (!signal_number(name)) {
    throw Error(Code::invalid_argument, "'{}' is not a signal of Linux: use for example SIGTERM or 15",
                printable(name));
  }
}

void check_working_directory(const std::string& path) {
  if (!path.starts_with('/'))
    throw Error(Code::invalid_argument, "the working directory '{}' must be absolute", printable(path));
}

SecurityOptions parse_security_options(const std::vector<std::string>& texts) {
  SecurityOptions options;
  for (const std::string& text : texts) {
    if (text == "no-new-privileges" || text == "no-new-privileges:true" || text == "no-new-privileges=true") {
      options.no_new_privileges = true;
    } else if (text == "no-new-privileges:false" || text == "no-new-privileges=false") {
      options.no_new_privileges = false;
    } else if (text == "seccomp=unconfined" || text == "seccomp:unconfined") {
      options.seccomp_unconfined = true;
    } else {
      throw Error(Code::invalid_argument,
                  "--security-opt '{}': there are no-new-privileges and seccomp=unconfined", printable(text));
    }
  }
  return options;
}

}  // namespace berth::engine
