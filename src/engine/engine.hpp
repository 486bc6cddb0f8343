#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "engine/create_options.hpp"
#include "engine/files.hpp"
#include "engine/paths.hpp"
#include "hypervisor/templates.hpp"
#include "launcher/cleanup.hpp"
#include "launcher/interaction.hpp"
#include "launcher/launcher.hpp"
#include "launcher/log_file.hpp"
#include "launcher/snapshots.hpp"
#include "link/messages.hpp"
#include "record/store.hpp"

namespace berth::image {
class Store;
}
namespace berth::volume {
class Store;
}

namespace berth::engine {

class HostPorts;

using launcher::AnonymousVolumes;

struct ExecOptions {
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string working_directory;
  std::string user;
  bool tty = false;
  bool open_stdin = false;
  bool detach = false;
  std::uint16_t columns = 0;
  std::uint16_t rows = 0;
};

/// A client's end of a session's streams: frames of launcher/interaction.hpp; or of a plain connection.
struct Attachment {
  UniqueFd stream;
  std::string early;  ///< bytes that were read with the HTTP answer: the stream's first
  bool tty = false;
};

/// Connects to a TCP port of a running container; throws unavailable when nothing accepts it there. May be
/// called from any thread.
using Forwarder = std::function<Attachment(std::uint16_t port)>;

/// What an SSH client needs to log in to a running container.
struct Login {
  std::string user;            ///< that its processes run as
  std::string host_key_alias;  ///< the name in known_hosts
  std::filesystem::path key;
  std::filesystem::path known_hosts;
};

/// What `stats` shows of one running container.
struct Usage {
  record::Pod pod;
  link::Stats guest;
  std::uint64_t machine_resident_bytes = 0;  ///< memory of the QEMU process
  std::uint64_t machine_private_bytes = 0;   ///< of it what no other process shares
  std::uint64_t machine_proportional_bytes = 0;
  std::uint64_t machine_cpu_nanoseconds = 0;  ///< host processor time of the QEMU process
};

struct AttachOptions {
  bool with_input = false;
  std::uint64_t tail = 0;        ///< so many of the last lines come first
  bool may_lose_output = false;  ///< rather than be cut off when it is not read fast enough
  std::int32_t columns = 0;      ///< of the caller's terminal, for a session that starts with it; 0: none
  std::int32_t rows = 0;
};

struct ForkOptions {
  std::uint32_t count = 1;
  std::string name;  ///< of the copy; of several the beginning, followed by "-1", "-2" ...; empty: random
  bool for_guest = false;  ///< a process in the container waits for it
};

/// The verbs every front calls. Names are container names, ids or unique id prefixes. Each call first
/// completes or undoes what a killed command or launcher left of the pod it meets.
class Engine {
 public:
  explicit Engine(Paths paths);
  ~Engine();

  /// Called with a line for the user that is not an error, e.g. why software emulation is used.
  std::function<void(std::string_view)> on_notice;

  /// Says on every start why software emulation is used, not only on the one that found out.
  bool explain_accelerator = false;

  const Paths& paths() const;
  image::Store& images();
  record::Store& records();
  volume::Store& volumes();
  hypervisor::TemplateStore templates() const;

  /// Makes the container; its image must be present (image::Store::get's not-found otherwise).
  record::Pod create(const CreateOptions& options);
  /// Starts it and returns once its process runs; throws why it cannot. Running already is fine.
  void start(std::string_view name);
  /// Starts it with a client attached from the first byte on. Failures of the start come as frames.
  Attachment start_attached(std::string_view name, const AttachOptions& options);
  Attachment attach(std::string_view name, const AttachOptions& options);
  Attachment exec(std::string_view name, const ExecOptions& options);
  Forwarder forwarder(std::string_view name);
  Login login(std::string_view name);
  /// A connection to the SSH server that users log in to.
  Attachment connect_login(std::string_view name);
  /// The exec's id; it goes on by itself.
  std::string exec_detached(std::string_view name, const ExecOptions& options);

  /// Stop signal, then SIGKILL after `grace` (nothing: ten seconds). Stopped already is fine.
  void stop(std::string_view name, std::optional<std::chrono::seconds> grace);
  void kill(std::string_view name, int signal);
  /// Its machine stands still until unpause(); stop, kill and a forced removal let it go on first.
  void pause(std::string_view name);
  void unpause(std::string_view name);
  /// Waits for the end, without a limit; at once when it is not running.
  launcher::Exit wait(std::string_view name);
  /// Copies of a running container, which goes on: all of them, or none. Returns their ids.
  std::vector<std::string> fork(std::string_view name, const ForkOptions& options);
  /// A snapshot of a running container, which goes on. Throws already-exists.
  void snapshot(std::string_view name, const std::string& snapshot_name);
  /// A copy of a snapshot, whose first start goes on from it. Throws not-found, unsupported.
  record::Pod create_from_snapshot(const std::string& snapshot_name, const std::string& name,
                                   bool auto_remove);
  launcher::SnapshotStore snapshots() const;
  /// Gives its machine other CPUs and memory: now when it runs, and at every start. Throws invalid-argument
  /// for more than a running machine can grow to.
  void update(std::string_view name, const launcher::UpdateRequest& request);
  /// Throws wrong-state for a running or paused container unless forced. Returns the id.
  std::string remove(std::string_view name, bool force, AnonymousVolumes volumes = AnonymousVolumes::keep);

  record::Pod get(std::string_view name);
  std::vector<record::Pod> list();
  Usage usage(std::string_view name);
  /// Its files, to be copied. One that does not run gets a machine for that and stays what it is; meanwhile
  /// it can be neither started nor, but for by force, removed. Throws busy when somebody else is at work on
  /// it.
  ContainerFiles files(std::string_view name);
  launcher::LogReader logs(std::string_view name, const launcher::LogQuery& query);

 private:
  struct State;
  launcher::Launcher::Settings launcher_settings(const record::Pod& pod);
  UniqueFd launch(record::Pod& pod, std::uint32_t copy_number = 0);
  record::Pod prepare_copy(const launcher::Snapshot& snapshot, const std::string& name, HostPorts& ports);
  void give_disk(const launcher::Snapshot& snapshot, const record::Pod& copy);
  void make_copies(const launcher::Snapshot& snapshot, const ForkOptions& options,
                   std::vector<record::Pod>& copies);
  std::vector<std::uint32_t> start_copies(std::vector<record::Pod>& copies,
                                          const std::vector<std::uint32_t>& numbers, bool for_guest);
  void check_names(const ForkOptions& options);
  void sweep_copies();
  void discard(const std::vector<record::Pod>& copies);
  std::optional<UniqueFd> launch_for_files(const record::Pod& pod);
  void end_files(const record::Pod& pod);
  template <typename Start>
  auto launch_or_remove(record::Pod& pod, Start start);
  std::unique_ptr<State> state_;
};

/// A container's details as `docker inspect` names and nests them: the JSON text of one object.
std::string inspect(const record::Pod& pod, const Paths& paths);

/// True while a launcher drives the pod.
bool is_running(const record::Pod& pod);

}  // namespace berth::engine
