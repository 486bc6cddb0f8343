#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "base/counted.hpp"
#include "base/files.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/templates.hpp"
#include "launcher/guest.hpp"
#include "launcher/interaction.hpp"
#include "launcher/log_file.hpp"
#include "launcher/paths.hpp"
#include "launcher/snapshots.hpp"
#include "launcher/subscriber.hpp"
#include "link/archive.hpp"
#include "record/store.hpp"

namespace berth::launcher {

class DiskSnapshot;
class HostFolders;
struct VolumeDisk;

struct ExecRequest {
  std::vector<std::string> command;
  std::vector<std::string> environment;
  std::string working_directory;
  std::string user;
  bool tty = false;
  bool open_stdin = false;
  std::int32_t columns = 0;
  std::int32_t rows = 0;
};

struct AttachRequest {
  bool with_input = false;
  std::uint64_t tail = 0;    ///< so many of the last lines come first, of at most Launcher::kTailLimit bytes
  std::int32_t columns = 0;  ///< of the client's terminal, for a session that has not started yet; 0: none
  std::int32_t rows = 0;
};

struct CopyRequest {
  link::archive::Verb verb = link::archive::Verb::stat;
  std::string path;
  bool keep_owners = false;
};

/// What of a running container's machine is to change; nothing stays as it is.
struct UpdateRequest {
  std::optional<double> cpus;
  std::optional<std::uint64_t> memory_bytes;
};

struct UsageReport {
  link::Stats guest;
  hypervisor::MachineStatistics machine;
};

/// Drives one pod's machine from its start to its end and is the only writer of its observed state meanwhile.
/// One loop; every method is called on it.
class Launcher {
 public:
  struct Settings {
    Paths paths;
    std::string id;
    hypervisor::Accelerator accelerator = hypervisor::Accelerator::tcg;
    std::filesystem::path kernel;
    std::filesystem::path initramfs;
    std::filesystem::path image;    ///< the read-only root file system
    std::string template_id;        ///< that the machine is a clone of where that can be; empty: it boots
    std::string image_template_id;  ///< the same, of one for this image, which a first start prefers
    std::string snapshot;           ///< that the pod goes on from; empty: it starts
    std::uint32_t copy_number = 0;  ///< of those that a process in the snapshot asked for; 0: nobody did
    std::string qemu;               ///< which program, see fingerprint()
    Milliseconds boot_limit{60'000};
    Milliseconds clock_period{30'000};  ///< between two looks at the guest's clock
    /// The machine is there for copies of a container that does not run: its session is not started, nothing
    /// of its state is recorded, and the machine ends with the last who needs it.
    bool files_only = false;
  };

  /// Takes over the pod's lock. `records`, `hypervisor` and `clock` must outlive it.
  Launcher(asio::any_io_executor executor, hypervisor::Hypervisor& hypervisor, record::Store& records,
           const Clock& clock, FileLock lock, Settings settings);
  ~Launcher();

  /// Does it all: start, run, end, record, removal. Afterwards the pod's lock is free. Clients may still be
  /// reading.
  Task<> run();
  /// The sessions start only then, so that this client gets the first byte.
  void hold_start_for_first_client() { first_client_pending_ = true; }
  void first_client_came();

  /// Returns once the container's process runs; throws why it never did.
  Task<> wait_started();
  Task<Exit> wait_end();
  /// The next end of the container's process, be it started again or not.
  Task<Exit> wait_exit();
  /// Serves one client of the main session until it is gone.
  Task<> attach(std::shared_ptr<Subscriber> client, AttachRequest request);
  static constexpr std::size_t kTailLimit = 512u << 10;
  /// Serves one exec with streams until it ended and its client has everything.
  Task<> exec(std::shared_ptr<Subscriber> client, ExecRequest request);
  /// Starts one without streams and returns its id.
  Task<std::string> exec_detached(ExecRequest request);
  /// A TCP connection to a port in the pod; throws unavailable when nothing accepts it there.
  Task<std::shared_ptr<link::ssh::Channel>> open_forward(std::uint16_t port);
  /// A connection to the SSH server that users log in to.
  Task<std::shared_ptr<link::ssh::Channel>> open_login();
  /// Serves one copy until it ended and its client has everything.
  Task<> copy(std::shared_ptr<Subscriber> client, CopyRequest request);
  /// As long as one of these lives, a machine for copies goes on.
  [[nodiscard]] Counted hold_files();
  /// Returns once copies can be made; throws why not.
  Task<> wait_files();
  Task<> stop(Milliseconds grace);
  /// A signal that does not end a paused container reaches it when it goes on.
  Task<> kill(std::int32_t signal);
  /// The machine stands still until unpause(); what is asked of the guest meanwhile waits, or is refused.
  /// Throws wrong-state, also when it is paused already; busy while something else is done with the machine;
  /// timeout when the guest does not answer; then it runs on.
  Task<> pause();
  /// The guest's clock is right before the container's processes go on. Throws wrong-state.
  Task<> unpause();
  /// Makes a snapshot of the pod, which stands still for a moment, and goes on whatever happens. The caller
  /// has reserved the name (SnapshotStore). Throws unsupported for a pod that cannot be copied, wrong-state,
  /// busy.
  Task<> snapshot(std::string name);
  Task<UsageReport> usage();
  /// Gives the machine more or fewer CPUs and memory, limits the container to them and records it; when it
  /// throws, nothing has changed.
  Task<> update(UpdateRequest request);

 private:
  enum class Phase { starting, running, ended };

  Task<> start_machine();
  Task<> configure_guest();
  Task<> wait_first_client();
  void note_started();
  void check_can_be_copied() const;
  Task<> fill_snapshot(const SnapshotStore::Draft& draft, Snapshot& snapshot,
                       std::unique_ptr<DiskSnapshot>& disk);
  Task<> copy_instant(std::unique_ptr<hypervisor::MachineCopy> copy, DiskSnapshot& disk, Snapshot& snapshot);
  Task<> resume_after_copy();
  Task<> give_up_disk();
  Task<> prepare_copy();
  void note_snapshot(Snapshot& snapshot) const;
  Task<> begin_copy(hypervisor::MachineSpec spec);
  Task<> become_copy();
  Task<> publish_ports();
  void note_fork_request();
  Task<> fork_for_guest(std::int64_t count);
  Task<std::string> run_fork(std::int64_t count);
  void note_unsynced(const std::function<void(record::Pod&)>& change);
  Task<> watch_machine();
  Task<> begin_machine(hypervisor::MachineSpec spec);
  Task<bool> begin_clone(hypervisor::MachineSpec spec, const hypervisor::Template& found);
  std::optional<hypervisor::Template> find_template(const hypervisor::MachineSpec& spec);
  std::optional<hypervisor::Template> take_assembled_template();
  void discard_template(const std::string& id, const std::string& reason);
  void distrust_template();
  Task<> start_with_folders(hypervisor::MachineSpec spec);
  Task<> watch_folders();
  Task<> blame_guest(Error error);
  Task<> end_machine();
  Task<> drain_output();
  void record_end();
  void finish_clients();
  void fail(const Error& error);
  void end_session(Exit exit);
  void note_restarts();
  Exit exit_of_run(std::int64_t run) const;
  void release_clients();
  Task<> end_restarts();
  bool ends_restarts(std::int32_t signal) const;
  std::map<std::string, config::SessionConfig> told_sessions() const;

  void on_report(const extraconfig::Difference& keys);
  void on_output(link::OutputRecord&& record);
  void append_log(LogStream stream, const link::OutputRecord& record);
  void fan_out(FrameKind kind, const std::string& payload);
  /// Tells the guest to stop or go on reading the main session's output, as the clients need it.
  void regulate_output();
  Task<> regulate();

  void send_tail(Subscriber& client, std::uint64_t lines) const;
  Task<> forward_input(std::shared_ptr<Subscriber> client, bool with_input);
  Task<> send_to_session(link::Order order);
  Task<> handle_client_frame(const Frame& frame, std::string session, link::ssh::Channel* channel);
  config::SessionConfig exec_session(const ExecRequest& request, const std::string& id, bool attached) const;
  Task<> send_config();
  Task<> pump_exec_output(std::shared_ptr<Subscriber> client, std::shared_ptr<link::ssh::Channel> channel);
  Task<> forward_exec_input(std::shared_ptr<Subscriber> client, std::shared_ptr<link::ssh::Channel> channel,
                            std::string id);
  Task<std::string> add_exec(const ExecRequest& request, bool attached);
  Task<Exit> exec_started(const std::string& id);
  Task<Exit> exec_result(const std::string& id, const link::ssh::Channel& channel);
  Task<> forget_exec(const std::string& id);
  void write_login_files() const;
  Task<> serve_files();
  void require_files() const;
  Error error_of_end() const;
  Task<> forward_copy_input(std::shared_ptr<Subscriber> client, std::shared_ptr<link::ssh::Channel> channel);
  Task<> forward_copy(std::shared_ptr<Subscriber> client, std::shared_ptr<link::ssh::Channel> channel,
                      link::archive::Verb verb);
  void require_running() const;
  void require_unpaused() const;
  Error paused_error() const;
  Task<> wait_pause_settled();
  Task<> stand_still();
  Task<> go_on();
  Task<> unpause_if_paused();
  bool keep_for_later(const link::Order& order);
  Task<> deliver_later();
  Task<> keep_clock();
  Task<> resize_machine(hypervisor::Size size);
  Task<> limit_container(std::int64_t nano_cpus);
  Error restarting_error() const;
  std::int32_t stop_signal() const;

  asio::any_io_executor executor_;
  hypervisor::Hypervisor& hypervisor_;
  record::Store& records_;
  const Clock& clock_;
  std::optional<FileLock> lock_;
  Settings settings_;
  record::Pod pod_;

  std::vector<VolumeDisk> volumes_;  ///< held until the machine has ended
  std::unique_ptr<HostFolders> folders_;
  std::unique_ptr<hypervisor::Machine> machine_;
  std::unique_ptr<Guest> guest_;
  config::ExecutorConfig guest_config_;  ///< the record's, with what only this start of the machine has
  extraconfig::Pairs guest_keys_;   ///< its encoding as the guest has it: what was sent and what it reported
  std::unique_ptr<LogWriter> log_;  ///< none in a machine for copies
  std::list<std::shared_ptr<Subscriber>> clients_;  ///< of the main session
  /// Clients whose run of the main session has written all, with its number from 1 on.
  std::list<std::pair<std::int64_t, std::shared_ptr<Subscriber>>> leaving_;
  std::map<std::uint16_t, std::string> output_sessions_;

  Event changed_;
  Phase phase_ = Phase::starting;
  bool is_clone_ = false;
  std::string clone_of_;                                    ///< a template; empty: of none
  std::optional<hypervisor::Template> assembled_template_;  ///< until the machine is begun
  hypervisor::MachineSpec machine_shape_;  ///< what copies of the machine have to be like; no descriptors
  std::string mark_;                       ///< the last one on the output port
  std::size_t snapshotting_ = 0;
  std::int64_t fork_requests_seen_ = 0;
  std::int64_t forks_made_ = 0;  ///< for processes of the guest
  bool started_ = false;
  bool recorded_ = false;
  bool first_client_pending_ = false;
  AttachRequest first_attach_;      ///< the last one before the session started
  std::int64_t runs_ended_ = 0;     ///< as the guest reported it
  std::int64_t outputs_ended_ = 0;  ///< as the output port says it
  bool restarting_ = false;
  bool output_held_ = false;
  bool regulating_ = false;
  bool log_failed_ = false;
  bool files_ready_ = false;
  bool paused_ = false;
  std::size_t pausing_ = 0;   ///< on the way into a pause, or out of it
  link::Stats paused_usage_;  ///< of the guest, when it was paused
  /// Signals and window sizes for a paused container, by session, verb and signal.
  std::map<std::tuple<std::string, std::string, std::int32_t>, link::Order> later_;
  std::size_t file_users_ = 0;
  std::size_t copies_ = 0;
  std::size_t updates_ = 0;
  std::unique_ptr<DiskSnapshot>
      given_up_disk_;  ///< of a snapshot that failed, as long as that is not settled
  std::optional<Exit> exit_;
  std::optional<Error> start_failure_;
};

}  // namespace berth::launcher
