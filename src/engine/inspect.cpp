#include <boost/json.hpp>

#include "base/clock.hpp"
#include "base/signals.hpp"
#include "engine/engine.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::engine {
namespace {

namespace json = boost::json;

constexpr std::int64_t kDefaultShmSize = 64 << 20;

std::string_view state_name(record::Status status) {
  switch (status) {
    case record::Status::created:
    case record::Status::starting:
      return "created";
    case record::Status::running:
    case record::Status::stopping:
      return "running";
    case record::Status::paused:
      return "paused";
    case record::Status::restarting:
      return "restarting";
    case record::Status::exited:
      return "exited";
    case record::Status::removing:
      return "removing";
  }
  return "dead";
}

/// Docker writes the zero time of Go for "never".
std::string time_or_never(std::int64_t nanoseconds) {
  return nanoseconds == 0 ? "0001-01-01T00:00:00Z" : format_time(Nanoseconds(nanoseconds));
}

json::array texts(const std::vector<std::string>& values, std::size_t from = 0) {
  json::array array;
  for (std::size_t i = from; i < values.size(); ++i) array.emplace_back(values[i]);
  return array;
}

/// Docker's way to say that there is no limit.
json::value number_or_null(std::int64_t value) {
  return value == 0 ? json::value(nullptr) : json::value(value);
}

json::value texts_or_null(const std::vector<std::string>& values) {
  return values.empty() ? json::value(nullptr) : json::value(texts(values));
}

json::array ulimits_of(const config::SessionConfig& session) {
  json::array limits;
  for (const config::Ulimit& limit : session.ulimits) {
    limits.push_back(json::object{{"Name", limit.name}, {"Hard", limit.hard}, {"Soft", limit.soft}});
  }
  return limits;
}

/// Docker's form of one kind of limit of disks.
json::array io_limits_of(const config::SessionConfig& session, std::int64_t config::IoLimit::*kind) {
  json::array limits;
  for (const config::IoLimit& limit : session.resources.io) {
    if (limit.*kind != 0) limits.push_back(json::object{{"Path", limit.path}, {"Rate", limit.*kind}});
  }
  return limits;
}

std::string port_key(const record::PortBinding& binding) {
  return fmt::format("{}/{}", binding.guest_port, binding.protocol == record::Protocol::udp ? "udp" : "tcp");
}

json::object port_bindings(const record::Pod& pod) {
  json::object ports;
  for (const record::PortBinding& binding : pod.host.ports) {
    json::value& list = ports[port_key(binding)];
    if (!list.is_array()) list = json::array();
    list.get_array().push_back(
        json::object{{"HostIp", binding.host_address.empty() ? "0.0.0.0" : binding.host_address},
                     {"HostPort", std::to_string(binding.host_port)}});
  }
  return ports;
}

json::object state_of(const record::Pod& pod) {
  const record::Host& host = pod.host;
  // Docker says that restarting and paused containers are running too.
  const bool restarting = host.status == record::Status::restarting;
  const bool paused = host.status == record::Status::paused;
  const bool running = restarting || paused || host.status == record::Status::running ||
                       host.status == record::Status::stopping;
  return {{"Status", state_name(host.status)},
          {"Running", running},
          {"Paused", paused},
          {"Restarting", restarting},
          {"OOMKilled", host.oom_killed},
          {"Dead", false},
          {"Pid", is_running(pod) ? host.machine.pid : 0},
          {"ExitCode", host.exit_code},
          {"Error", host.error},
          {"StartedAt", time_or_never(host.started)},
          {"FinishedAt", time_or_never(host.finished)}};
}

/// With the restart that is awaited, as Docker counts.
std::int64_t restart_count(const record::Pod& pod) {
  return pod.session().diagnostics.resurrection_count +
         (pod.host.status == record::Status::restarting ? 1 : 0);
}

json::object config_of(const record::Pod& pod) {
  const config::SessionConfig& session = pod.session();
  json::object labels;
  for (const auto& [key, value] : pod.executor.annotations) labels[key] = value;
  json::object volumes;
  for (const auto& [id, mount] : pod.executor.mounts) {
    if (mount.source.scheme == "scratch") volumes[mount.path] = json::object();
  }
  return {{"Hostname", pod.executor.hostname},
          {"User", session.group.empty() ? session.user : session.user + ":" + session.group},
          {"OpenStdin", session.open_stdin},
          {"Tty", session.tty},
          {"Env", texts(session.cmd.env)},
          {"Cmd", texts(pod.host.command)},
          {"Image", pod.host.image_reference},
          {"Volumes", std::move(volumes)},
          {"WorkingDir", session.cmd.dir},
          {"Labels", std::move(labels)},
          {"StopSignal", session.stop_signal.empty() ? "SIGTERM" : session.stop_signal}};
}

/// As `-v` takes them.
json::array binds_of(const record::Pod& pod) {
  json::array binds;
  for (const record::VolumeMount& volume : pod.host.volumes)
    binds.emplace_back(fmt::format("{}:{}:{}", volume.name, volume.path, volume.read_only ? "ro" : "rw"));
  for (const record::HostFolder& folder : pod.host.folders)
    binds.emplace_back(fmt::format("{}:{}:{}", folder.source, folder.path, folder.read_only ? "ro" : "rw"));
  return binds;
}

json::object host_config_of(const record::Pod& pod) {
  const config::SessionConfig& session = pod.session();
  json::object sysctls;
  for (const auto& [name, value] : session.sysctls) sysctls[name] = value;
  json::object tmpfs;
  for (const auto& [id, mount] : pod.executor.mounts) {
    if (mount.source.scheme == "tmpfs") tmpfs[mount.path] = mount.mode;
  }
  return {{"Binds", binds_of(pod)},
          {"NetworkMode", pod.host.network},
          {"PortBindings", port_bindings(pod)},
          {"RestartPolicy",
           json::object{{"Name", pod.host.restart_policy}, {"MaximumRetryCount", session.restart_limit}}},
          {"AutoRemove", pod.host.auto_remove},
          {"ReadonlyRootfs", session.read_only_root},
          {"Init", session.init},
          {"Memory", pod.host.memory_bytes},
          {"NanoCpus", static_cast<std::int64_t>(pod.host.cpus * 1e9)},
          {"BlkioDeviceReadBps", io_limits_of(session, &config::IoLimit::read_bps)},
          {"BlkioDeviceWriteBps", io_limits_of(session, &config::IoLimit::write_bps)},
          {"BlkioDeviceReadIOps", io_limits_of(session, &config::IoLimit::read_iops)},
          {"BlkioDeviceWriteIOps", io_limits_of(session, &config::IoLimit::write_iops)},
          {"PidsLimit", number_or_null(session.resources.pids_limit)},
          {"ShmSize", session.shm_size == 0 ? kDefaultShmSize : session.shm_size},
          {"Ulimits", ulimits_of(session)},
          {"Sysctls", std::move(sysctls)},
          {"CapAdd", texts_or_null(pod.host.cap_add)},
          {"CapDrop", texts_or_null(pod.host.cap_drop)},
          {"SecurityOpt", texts_or_null(pod.host.security_options)},
          {"GroupAdd", texts_or_null(session.group_add)},
          {"OomScoreAdj", session.oom_score_adj},
          {"Tmpfs", std::move(tmpfs)},
          {"Accelerator", pod.host.accelerator}};
}

/// Of a volume: its image on this host, which is not mounted there.
json::object mount_of(const record::Pod& pod, const config::MountSpec& mount, const Paths& paths) {
  const std::string& scheme = mount.source.scheme;
  json::object shown{{"Type", scheme == "tmpfs" ? "tmpfs" : "volume"},
                     {"Name", ""},
                     {"Source", ""},
                     {"Destination", mount.path},
                     {"Driver", scheme == "tmpfs" ? "" : "local"},
                     {"Mode", mount.mode},
                     {"RW", true}};
  for (const record::VolumeMount& volume : pod.host.volumes) {
    if (volume.path != mount.path) continue;
    shown["Name"] = volume.name;
    const bool is_nfs = scheme == launcher::kNfsScheme;
    shown["Source"] =
        is_nfs ? mount.source.host + ":" + mount.source.path : paths.volume_image(volume.id).string();
    shown["Mode"] = volume.read_only ? "ro" : "rw";
    shown["RW"] = !volume.read_only;
  }
  return shown;
}

/// As Docker shows it, which has neither name nor driver then.
json::object folder_object(const record::HostFolder& folder) {
  return {{"Type", "bind"},      {"Source", folder.source}, {"Destination", folder.path},
          {"Mode", folder.mode}, {"RW", !folder.read_only}, {"Propagation", "rprivate"}};
}

json::array mounts_of(const record::Pod& pod, const Paths& paths) {
  json::array mounts;
  for (const auto& [id, mount] : pod.executor.mounts) {
    if (mount.source.scheme != "virtiofs") mounts.push_back(mount_of(pod, mount, paths));
  }
  for (const record::HostFolder& folder : pod.host.folders) mounts.push_back(folder_object(folder));
  return mounts;
}

json::object network_of(const record::Pod& pod) {
  json::object networks;
  for (const auto& [name, endpoint] : pod.executor.networks) {
    const config::IpNetwork& address = endpoint.ip ? *endpoint.ip : endpoint.assigned;
    const config::IpNetwork& gateway =
        endpoint.ip ? endpoint.network.gateway : endpoint.network.assigned.gateway;
    networks[name] = json::object{{"MacAddress", pod.host.mac},
                                  {"IPAddress", address.ip.to_string()},
                                  {"IPPrefixLen", address.mask.bits().value_or(0)},
                                  {"Gateway", gateway.ip.to_string()}};
  }
  return {{"Ports", port_bindings(pod)}, {"Networks", std::move(networks)}};
}

}  // namespace

std::string inspect(const record::Pod& pod, const Paths& paths) {
  const std::vector<std::string>& command = pod.host.command;
  const json::object details{{"Id", pod.id()},
                             {"Created", format_time(Nanoseconds(pod.host.created))},
                             {"Path", command.empty() ? std::string() : command.front()},
                             {"Args", texts(command, 1)},
                             {"State", state_of(pod)},
                             {"Image", pod.host.image_id},
                             {"LogPath", (paths.pod(pod.id()) / "container.log").string()},
                             {"Name", "/" + pod.name()},
                             {"RestartCount", restart_count(pod)},
                             {"Platform", "linux"},
                             {"Mounts", mounts_of(pod, paths)},
                             {"HostConfig", host_config_of(pod)},
                             {"Config", config_of(pod)},
                             {"NetworkSettings", network_of(pod)},
                             {"Generation", pod.generation}};
  return json::serialize(details);
}

}  // namespace berth::engine
