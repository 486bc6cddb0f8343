#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/executor.hpp"

namespace berth::record {

/// Docker's container states; `starting` and `stopping` are shown as created and running.
enum class Status { created, starting, running, paused, stopping, exited, removing };

enum class Protocol { tcp, udp };

struct PortBinding {
  std::string host_address;  ///< empty: every address
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  Protocol protocol = Protocol::tcp;
};

/// A process of the host that a record speaks of; the start time tells it from a later one with the same id.
struct ProcessIdentity {
  std::int32_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< field 22 of /proc/PID/stat (proc(5))
};

/// What only the host knows of a pod: hidden keys below "host".
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
  std::string network = "user";      ///< user or none
  std::string mac;
  std::vector<PortBinding> ports;
  std::vector<std::string> command;  ///< entrypoint and arguments, for display
  /// User id QEMU runs under is the base plus this; unique among the records. -1: not assigned.
  std::int32_t user_slot = -1;
  ProcessIdentity launcher;
  ProcessIdentity machine;
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

}  // namespace berth::record
