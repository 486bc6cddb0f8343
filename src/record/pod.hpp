#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/executor.hpp"
#include "extraconfig/pairs.hpp"

namespace berth::record {

/// Docker's container states; `starting` and `stopping` are shown as created and running.
enum class Status { created, starting, running, paused, restarting, stopping, exited, removing };

enum class Protocol { tcp, udp };

struct PortBinding {
  std::string host_address;  ///< empty: every address
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  Protocol protocol = Protocol::tcp;
  bool operator==(const PortBinding&) const = default;
};

/// Where a container sees a volume (volume/store.hpp).
struct VolumeMount {
  std::string id;
  std::string name;
  std::string path;
  bool read_only = false;
  bool operator==(const VolumeMount&) const = default;
};

/// A folder of the host, or one file, that a container sees. In the guest's part of the record its mount's
/// source is `virtiofs://` and folder_tag() of its place in the list.
struct HostFolder {
  std::string source;  ///< absolute
  std::string path;
  bool read_only = false;
  bool make_source = false;  ///< a start makes the folder where there is none
  std::string mode;          ///< options as the user gave them, for display
  bool operator==(const HostFolder&) const = default;
};
std::string folder_tag(std::size_t index);

/// A process of the host that a record speaks of; the start time tells it from a later one with the same id.
struct ProcessIdentity {
  std::int32_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat (proc(5))
  bool operator==(const ProcessIdentity&) const = default;
};

/// Where a record has what only the host knows.
inline constexpr std::string_view kHostPrefix = "host";

/// What only the host knows of a pod: hidden keys below kHostPrefix.
struct Host {
  Status status = Status::created;
  std::string image_reference;  ///< as the user gave it, normalised
  std::string image_id;
  std::int64_t created = 0;  ///< times are nanoseconds since 1970-01-01 UTC, 0 for never
  std::int64_t started = 0;
  std::int64_t finished = 0;
  std::int32_t exit_code = 0;  ///< as Docker shows it: 128+n for a signal, 125..127 for a failed start
  std::string error;           ///< why the container or its machine failed, for users
  bool oom_killed = false;
  bool auto_remove = false;
  bool remove_unless_started = false;  ///< made by `run`: a container whose process never ran goes away
  double cpus = 1;
  std::uint64_t memory_bytes = 0;
  std::string accelerator = "auto";  ///< auto, kvm or tcg as asked
  bool boots = false;                ///< its machine is not a clone of a template
  std::string snapshot;              ///< its first start goes on from this one
  std::string copy_of;               ///< id of the container that the snapshot is of
  std::string network = "user";      ///< user or none
  std::string mac;
  std::vector<PortBinding> ports;
  std::vector<VolumeMount> volumes;
  std::vector<HostFolder> folders;
  std::vector<std::string> command;  ///< entrypoint and arguments, for display
  std::vector<std::string> cap_add;  ///< as the user gave them, for display; so are the next two
  std::vector<std::string> cap_drop;
  std::vector<std::string> security_options;
  std::string restart_policy = "no";  ///< no, on-failure, always or unless-stopped
  /// User id QEMU runs under is the base plus this; unique among the records. -1: not assigned.
  std::int32_t user_slot = -1;
  ProcessIdentity launcher;
  ProcessIdentity machine;
  bool operator==(const Host&) const = default;
};

struct Pod {
  config::ExecutorConfig executor;
  Host host;
  std::uint64_t generation = 0;  ///< not stored as a key: the store's own column

  const std::string& id() const { return executor.common.id; }
  const std::string& name() const { return executor.common.name; }
  /// The container's main session: the one with the pod's id.
  config::SessionConfig& session() { return executor.sessions.at(id()); }
  const config::SessionConfig& session() const { return executor.sessions.at(id()); }
};

/// Whether `run` made it and its process never ran: such a container goes away when a start fails.
bool goes_with_failure(const Pod& pod);

/// What the store keeps of a pod: the executor's keys at the top, the host's below "host".
extraconfig::Pairs encode(const Pod& pod);
/// Throws Code::corrupt naming the key.
Pod decode(extraconfig::Source& pairs);
Pod decode(const extraconfig::Pairs& pairs);

/// "0.0.0.0:8080/tcp"
std::string to_string(const PortBinding& port);
/// Whether one host cannot publish both: the same protocol and port on addresses that meet.
bool overlap(const PortBinding& a, const PortBinding& b);

constexpr auto describe(const Status*) {
  using describe::EnumeratorOf;
  return describe::enumerators(
      EnumeratorOf{"created", Status::created}, EnumeratorOf{"starting", Status::starting},
      EnumeratorOf{"running", Status::running}, EnumeratorOf{"paused", Status::paused},
      EnumeratorOf{"restarting", Status::restarting}, EnumeratorOf{"stopping", Status::stopping},
      EnumeratorOf{"exited", Status::exited}, EnumeratorOf{"removing", Status::removing});
}

constexpr auto describe(const Protocol*) {
  using describe::EnumeratorOf;
  return describe::enumerators(EnumeratorOf{"tcp", Protocol::tcp}, EnumeratorOf{"udp", Protocol::udp});
}

constexpr auto describe(const PortBinding*) {
  using namespace describe;
  return fields(field<&PortBinding::host_address>("HostAddress", "hostaddress", scope::hidden),
                field<&PortBinding::host_port>("HostPort", "hostport", scope::hidden),
                field<&PortBinding::guest_port>("GuestPort", "guestport", scope::hidden),
                field<&PortBinding::protocol>("Protocol", "protocol", scope::hidden));
}

constexpr auto describe(const VolumeMount*) {
  using namespace describe;
  return fields(field<&VolumeMount::id>("ID", "id", scope::hidden),
                field<&VolumeMount::name>("Name", "name", scope::hidden),
                field<&VolumeMount::path>("Path", "path", scope::hidden),
                field<&VolumeMount::read_only>("ReadOnly", "readonly", scope::hidden));
}

constexpr auto describe(const HostFolder*) {
  using namespace describe;
  return fields(field<&HostFolder::source>("Source", "source", scope::hidden),
                field<&HostFolder::path>("Path", "path", scope::hidden),
                field<&HostFolder::read_only>("ReadOnly", "readonly", scope::hidden),
                field<&HostFolder::make_source>("MakeSource", "makesource", scope::hidden),
                field<&HostFolder::mode>("Mode", "mode", scope::hidden));
}

constexpr auto describe(const ProcessIdentity*) {
  using namespace describe;
  return fields(field<&ProcessIdentity::pid>("PID", "pid", scope::hidden),
                field<&ProcessIdentity::start_ticks>("StartTicks", "startticks", scope::hidden));
}

constexpr auto describe(const Host*) {
  using namespace describe;
  return fields(
      field<&Host::status>("Status", "status", scope::hidden),
      field<&Host::image_reference>("ImageReference", "imagereference", scope::hidden),
      field<&Host::image_id>("ImageID", "imageid", scope::hidden),
      field<&Host::created>("Created", "created", scope::hidden),
      field<&Host::started>("Started", "started", scope::hidden),
      field<&Host::finished>("Finished", "finished", scope::hidden),
      field<&Host::exit_code>("ExitCode", "exitcode", scope::hidden),
      field<&Host::error>("Error", "error", scope::hidden),
      field<&Host::oom_killed>("OOMKilled", "oomkilled", scope::hidden),
      field<&Host::auto_remove>("AutoRemove", "autoremove", scope::hidden),
      field<&Host::remove_unless_started>("RemoveUnlessStarted", "removeunlessstarted", scope::hidden),
      field<&Host::cpus>("CPUs", "cpus", scope::hidden),
      field<&Host::memory_bytes>("MemoryBytes", "memorybytes", scope::hidden),
      field<&Host::accelerator>("Accelerator", "accelerator", scope::hidden),
      field<&Host::boots>("Boots", "boots", scope::hidden),
      field<&Host::snapshot>("Snapshot", "snapshot", scope::hidden),
      field<&Host::copy_of>("CopyOf", "copyof", scope::hidden),
      field<&Host::network>("Network", "network", scope::hidden),
      field<&Host::mac>("MAC", "mac", scope::hidden), field<&Host::ports>("Ports", "ports", scope::hidden),
      field<&Host::volumes>("Volumes", "volumes", scope::hidden),
      field<&Host::folders>("Folders", "folders", scope::hidden),
      field<&Host::command>("Command", "command", scope::hidden),
      field<&Host::cap_add>("CapAdd", "capadd", scope::hidden),
      field<&Host::cap_drop>("CapDrop", "capdrop", scope::hidden),
      field<&Host::security_options>("SecurityOpt", "securityopt", scope::hidden),
      field<&Host::restart_policy>("RestartPolicy", "restartpolicy", scope::hidden),
      field<&Host::user_slot>("UserSlot", "userslot", scope::hidden),
      field<&Host::launcher>("Launcher", "launcher", scope::hidden),
      field<&Host::machine>("Machine", "machine", scope::hidden));
}

}  // namespace berth::record
