#include "engine/container_spec.hpp"

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "config/capabilities.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/user_network.hpp"
#include "volume/nfs.hpp"

namespace berth::engine {
namespace {

constexpr const char* kDefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_set(const std::vector<std::string>& environment, std::string_view name) {
  return std::any_of(environment.begin(), environment.end(), [&](const std::string& entry) {
    return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
  });
}

/// Adds an assignment, or puts it in the place of an earlier one of the same name.
void assign(std::vector<std::string>& environment, const std::string& assignment) {
  const std::string name = assignment.substr(0, assignment.find('=') + 1);
  for (std::string& entry : environment) {
    if (!entry.starts_with(name)) continue;
    entry = assignment;
    return;
  }
  environment.push_back(assignment);
}

std::vector<std::string> environment_of(const CreateOptions& options, const image::ImageConfig& image,
                                        const std::string& hostname) {
  std::vector<std::string> environment;
  for (const std::string& entry : image.env) assign(environment, entry);
  if (!is_set(environment, "PATH")) environment.insert(environment.begin(), kDefaultPath);
  assign(environment, "HOSTNAME=" + hostname);
  if (options.tty) assign(environment, "TERM=xterm");
  for (const std::string& entry : options.environment) assign(environment, entry);
  return environment;
}

std::vector<std::string> command_of(const CreateOptions& options, const image::ImageConfig& image) {
  std::vector<std::string> command = options.entrypoint.value_or(image.entrypoint);
  if (!options.command.empty()) {
    command.insert(command.end(), options.command.begin(), options.command.end());
  } else if (!options.entrypoint) {
    // Docker drops the image's command when the entrypoint is replaced.
    command.insert(command.end(), image.cmd.begin(), image.cmd.end());
  }
  std::erase_if(command, [&](const std::string& word) { return &word == command.data() && word.empty(); });
  if (command.empty()) {
    throw Error(Code::invalid_argument, "no command specified: the image names none, so give one after it");
  }
  return command;
}

void confine(config::SessionConfig& session, const CreateOptions& options) {
  const auto capabilities = config::adjust_default_capabilities(options.cap_add, options.cap_drop);
  if (capabilities != config::default_capabilities()) {
    session.capabilities = config::capability_names(capabilities);
  }
  const SecurityOptions security = parse_security_options(options.security_options);
  session.no_new_privileges = security.no_new_privileges;
  session.seccomp_unconfined = security.seccomp_unconfined;
  session.ulimits = options.ulimits;
  session.sysctls = options.sysctls;
  session.shm_size = static_cast<std::int64_t>(options.shm_bytes);
  session.group_add = options.group_add;
  session.oom_score_adj = options.oom_score_adj;
}

void set_restart(config::SessionConfig& session, const RestartPolicy& policy) {
  if (policy.name == "no") return;
  session.restart = true;
  session.restart_on_failure = policy.name == "on-failure";
  session.restart_limit = policy.retries;
}

config::SessionConfig session_of(const CreateOptions& options, const image::ImageConfig& image,
                                 const std::string& id, const std::string& hostname) {
  config::SessionConfig session;
  session.common.id = id;
  const std::vector<std::string> command = command_of(options, image);
  session.cmd.path = command.front();
  session.cmd.args = command;
  session.cmd.env = environment_of(options, image, hostname);
  session.cmd.dir = options.working_directory.empty() ? image.working_dir : options.working_directory;
  if (session.cmd.dir.empty()) session.cmd.dir = "/";
  check_working_directory(session.cmd.dir);
  const std::string user = options.user.empty() ? image.user : options.user;
  const std::size_t colon = user.find(':');
  session.user = user.substr(0, colon);
  if (colon != std::string::npos) session.group = user.substr(colon + 1);
  session.stop_signal = options.stop_signal.empty() ? image.stop_signal : options.stop_signal;
  if (!session.stop_signal.empty()) check_stop_signal(session.stop_signal);
  session.attach = true;
  session.open_stdin = options.open_stdin;
  session.tty = options.tty;
  session.init = options.init;
  session.read_only_root = options.read_only;
  confine(session, options);
  set_restart(session, options.restart);
  session.resources.pids_limit = std::max<std::int64_t>(options.pids_limit, 0);
  session.resources.nano_cpus = nano_cpus_of(options.cpus);
  session.resources.io = options.io_limits;
  for (config::IoLimit& limit : session.resources.io) limit.path = mount_path(limit.path);
  session.fork_limit = options.fork_limit;
  session.active = true;
  return session;
}

std::string new_mac() {
  // 52:54:00 is the prefix QEMU uses for machines of its own.
  const std::string bytes = random_bytes(3);
  const auto byte = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<unsigned char>(bytes[i]));
  };
  return fmt::format("52:54:00:{:02x}:{:02x}:{:02x}", byte(0), byte(1), byte(2));
}

/// Whether the user mounts something there; what the image says of that place is void then.
bool is_mounted(const CreateOptions& options, const std::string& path) {
  const std::string place = mount_path(path);
  const auto is_there = [&](const auto& entry) { return mount_path(entry.path) == place; };
  return std::any_of(options.volumes.begin(), options.volumes.end(), is_there) ||
         std::any_of(options.folders.begin(), options.folders.end(), is_there) ||
         std::any_of(options.tmpfs.begin(), options.tmpfs.end(),
                     [&](const auto& entry) { return mount_path(entry.first) == place; });
}

void add_mounts(record::Pod& pod, const CreateOptions& options, const image::ImageConfig& image) {
  int number = 0;
  for (const std::string& path : image.volumes) {
    if (is_mounted(options, path)) continue;
    config::MountSpec mount;
    mount.source.scheme = "scratch";
    mount.source.path = "/" + std::to_string(number);
    mount.path = path;
    mount.mode = "rw";
    mount.copy_mode = config::CopyMode::fresh;
    pod.executor.mounts.emplace("volume-" + std::to_string(number++), std::move(mount));
  }
  number = 0;
  for (const auto& [path, mode] : options.tmpfs) {
    config::MountSpec mount;
    mount.source.scheme = "tmpfs";
    mount.path = path;
    mount.mode = mode;
    pod.executor.mounts.emplace("tmpfs-" + std::to_string(number++), std::move(mount));
  }
}

/// The guest is told their tags alone: where they are on this host is nothing to it.
void add_folders(record::Pod& pod, const CreateOptions& options) {
  for (record::HostFolder folder : options.folders) {
    const std::size_t number = pod.host.folders.size();
    folder.path = mount_path(folder.path);
    config::MountSpec mount;
    mount.source.scheme = "virtiofs";
    mount.source.host = record::folder_tag(number);
    mount.path = folder.path;
    mount.mode = folder.read_only ? "ro" : "rw";
    mount.copy_mode = config::CopyMode::never;
    pod.executor.mounts.emplace("folder-" + std::to_string(number), std::move(mount));
    pod.host.folders.push_back(std::move(folder));
  }
}

/// What its resolver is told.
void set_names(config::ExecutorConfig& executor, const CreateOptions& options) {
  executor.extra_hosts = options.extra_hosts;
  executor.dns_search = options.dns_search;
  executor.dns_options = options.dns_options;
  if (options.dns.empty()) return;
  auto& servers = executor.networks.begin()->second.network.nameservers;
  servers.clear();
  for (const std::string& server : options.dns) servers.push_back(config::IpAddress::parse(server));
}

config::MountSpec disk_mount(const VolumeRequest& request, const volume::Volume& volume) {
  config::MountSpec mount;
  mount.source.scheme = "serial";
  mount.source.host = volume::disk_serial(volume.id);
  mount.mode = request.read_only ? "ro" : "rw";
  mount.copy_mode = request.no_copy ? config::CopyMode::never : config::CopyMode::fresh;
  return mount;
}

config::MountSpec nfs_mount(const VolumeRequest& request, const volume::Volume& volume) {
  const volume::NfsSource source = volume::parse_nfs_source(volume.options);
  config::MountSpec mount;
  mount.source.scheme = launcher::kNfsScheme;
  mount.source.host = source.server;
  mount.source.path = source.path;
  mount.mode = source.options;
  if (request.read_only) mount.mode += mount.mode.empty() ? "ro" : ",ro";
  mount.copy_mode = config::CopyMode::never;
  return mount;
}

/// What is not known before the volume is.
void check_nfs_volume(const record::Pod& pod, const volume::Volume& volume, const std::string& path) {
  if (pod.host.network == "none") {
    throw Error(
        Code::invalid_argument,
        "the volume {} is on an NFS server, which a container without a network cannot reach: leave out "
        "--network none",
        volume.name);
  }
  for (const config::IoLimit& limit : pod.session().resources.io) {
    if (limit.path != path) continue;
    throw Error(Code::invalid_argument, "the volume {} at {} is on an NFS server: it has no disk to limit",
                volume.name, path);
  }
}

}  // namespace

void add_volume(record::Pod& pod, const VolumeRequest& request, const volume::Volume& volume) {
  const std::string path = mount_path(request.path);
  if (!volume.is_disk()) check_nfs_volume(pod, volume, path);
  config::MountSpec mount = volume.is_disk() ? disk_mount(request, volume) : nfs_mount(request, volume);
  mount.path = path;
  record::VolumeMount entry;
  entry.id = volume.id;
  entry.name = volume.name;
  entry.path = mount.path;
  entry.read_only = request.read_only;
  pod.executor.mounts.emplace("disk-" + std::to_string(pod.host.volumes.size()), std::move(mount));
  pod.host.volumes.push_back(std::move(entry));
}

/// The machine has whole processors.
std::int64_t nano_cpus_of(double cpus) {
  return cpus == std::floor(cpus) ? 0 : static_cast<std::int64_t>(cpus * 1e9);
}

record::Pod make_pod(const CreateOptions& options, const image::Image& image, Nanoseconds now) {
  check_options(options);
  record::Pod pod;
  const std::string id = new_id();
  pod.executor.common.id = id;
  pod.executor.common.name = options.name;
  pod.executor.hostname = options.hostname.empty() ? short_id(id) : options.hostname;
  pod.executor.create_time = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  pod.executor.image_id = image.id;
  pod.executor.repo_name = image.reference ? image.reference->familiar() : options.image;
  pod.executor.annotations = options.labels;
  for (const auto& [key, value] : image.config.labels) pod.executor.annotations.emplace(key, value);
  pod.executor.user_keys = options.ssh_keys;
  pod.executor.sessions.emplace(id, session_of(options, image.config, id, pod.executor.hostname));
  add_mounts(pod, options, image.config);
  add_folders(pod, options);

  record::Host& host = pod.host;
  host.image_reference = pod.executor.repo_name;
  host.image_id = image.id;
  host.created = now.count();
  host.auto_remove = options.auto_remove;
  host.remove_unless_started = options.remove_unless_started;
  host.cpus = options.cpus;
  host.memory_bytes = options.memory_bytes == 0 ? kDefaultMemory : options.memory_bytes;
  host.accelerator = options.accelerator;
  host.boots = options.cold;
  host.network = options.network;
  host.mac = new_mac();
  host.ports = options.ports;
  host.command = pod.session().cmd.args;
  host.restart_policy = options.restart.name;
  host.cap_add = options.cap_add;
  host.cap_drop = options.cap_drop;
  host.security_options = options.security_options;
  if (options.network == "user")
    pod.executor.networks.emplace(launcher::kUserNetwork, launcher::user_network(host.mac));
  set_names(pod.executor, options);
  return pod;
}

record::Pod make_copy(const record::Pod& original, const std::string& name, Nanoseconds now) {
  check_container_name(name);
  record::Pod pod;
  pod.executor = original.executor;
  const std::string id = new_id();
  pod.executor.common.id = id;
  pod.executor.common.name = name;
  pod.executor.hostname = short_id(id);
  pod.executor.create_time = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  config::SessionConfig session = original.session();
  session.common.id = id;
  pod.executor.sessions = {{id, std::move(session)}};
  pod.executor.execs.clear();

  pod.host = original.host;
  record::Host& host = pod.host;
  host.status = record::Status::created;
  host.created = now.count();
  host.started = 0;
  host.finished = 0;
  host.exit_code = 0;
  host.error.clear();
  host.oom_killed = false;
  host.remove_unless_started = true;
  host.copy_of = original.id();
  host.mac = new_mac();
  host.user_slot = -1;
  host.launcher = {};
  host.machine = {};
  for (record::PortBinding& port : host.ports) port.host_port = 0;
  if (pod.executor.networks.contains(launcher::kUserNetwork))
    pod.executor.networks[launcher::kUserNetwork] = launcher::user_network(host.mac);
  return pod;
}

}  // namespace berth::engine
