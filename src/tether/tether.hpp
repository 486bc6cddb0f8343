#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "config/executor.hpp"
#include "link/control.hpp"
#include "link/messages.hpp"
#include "tether/extensions.hpp"
#include "tether/fork_server.hpp"
#include "tether/network_jobs.hpp"
#include "tether/os/container_root.hpp"
#include "tether/os/devices.hpp"
#include "tether/os/growth.hpp"
#include "tether/os/identity_files.hpp"
#include "tether/os/network.hpp"
#include "tether/output_port.hpp"
#include "tether/pod.hpp"
#include "tether/restarts.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// The guest's side of the link: holds the configuration, makes the machine be as it says, runs its sessions,
/// and tells the host what has changed.
class Tether : public Pod {
 public:
  struct Ports {
    UniqueFd control;
    UniqueFd output;
  };

  /// `began_nanoseconds`: when the program began, as the hello tells it.
  Tether(const asio::any_io_executor& executor, Ports ports, os::Devices& devices, os::Modules& modules,
         const Clock& clock, std::int64_t began_nanoseconds);

  /// Before run(), as Extensions::add.
  void add(std::unique_ptr<Extension> extension) { extensions_.add(std::move(extension)); }
  /// Serves until the control port ends.
  Task<> run();

  /// Kills what runs, unmounts, and returns when the machine may be switched off.
  Task<> shut_down();
  /// What was ordered.
  std::optional<Leave> ordered_leave() const { return leave_; }

  const asio::any_io_executor& executor() const override { return executor_; }
  std::shared_ptr<Session> session(const std::string& id) const override;
  const config::SessionConfig& running_container() const override;
  SessionSpec make_session_spec(const std::string& id, const config::SessionConfig& config) override;
  std::shared_ptr<Session> make_session(SessionSpec spec) override;
  CopyPlace copy_place(const std::string& container) const override;
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request) override {
    return extensions_.serve(std::move(channel), std::move(request));
  }
  Task<> leave(Leave how) override;
  void go_on() override;

 private:
  struct Entry {
    std::shared_ptr<Session> session;  ///< none when it could not even be made
    std::uint16_t number = 0;
    SessionStatus status;
    Restarts restarts;
    std::uint64_t restart_ticket = 0;  ///< of the restart that is awaited
  };

  struct Mounts {
    bool has_container = false;  ///< without one there is nothing to mount in
    std::map<std::string, config::MountSpec> mounts;
    bool operator==(const Mounts&) const = default;
  };

  Task<> greet();
  Task<extraconfig::Pairs> handle(link::Document document);

  Task<> configure(extraconfig::Difference difference);
  Task<> in_turn(Task<> step);
  Task<> apply_at_once();
  Task<> apply_with_networks();
  Task<> apply_containers();
  Task<> apply_mounts(Mounts mounts);
  Task<> assemble();
  Mounts wanted_mounts() const;
  void note_networks();
  os::NfsSurroundings nfs_surroundings();
  void apply_time_and_entropy();
  void apply_sessions();
  void stop_removed_sessions();

  Task<> prepare_copy(std::string token);
  Task<> fall_silent(std::string token);
  Task<> become(std::string old_id, std::string new_id);
  void rename_container(const std::string& old_id, const std::string& new_id);
  void apply_hostname();
  void apply_forks();
  void answer_fork(std::string line);

  Task<extraconfig::Pairs> obey(link::Order order);
  Task<> start_session(std::string id);
  void begin_session(const std::string& id, const config::SessionConfig& config);
  CgroupLimits limits_of(const config::SessionResources& resources) const;
  std::vector<DiskLimit> disk_limits_of(const config::SessionResources& resources) const;
  std::uint16_t free_number() const;
  Task<> adjust(std::int32_t cpus);
  std::uint64_t memory_for_containers() const;
  extraconfig::Pairs stats(const std::string& id) const;
  extraconfig::Pairs processes(const std::string& id) const;

  void tell_sessions();
  Task<> restart_later(std::string id, std::uint64_t ticket, Milliseconds wait);
  void note_end(const std::string& id, Entry& entry, const config::SessionConfig& configured);
  void note_status(const std::string& id, const SessionStatus& status);
  void report_soon();
  Task<> report_loop();
  Task<> report(extraconfig::Difference difference, extraconfig::Pairs now);
  Task<> wait_reported(Milliseconds limit);

  Task<> end_sessions();
  bool has_running_sessions() const;
  Task<> end_link();

  asio::any_io_executor executor_;
  std::int64_t began_nanoseconds_;
  const Clock& clock_;
  link::ControlChannel control_;
  OutputPort output_;

  extraconfig::Pairs pairs_;        ///< as the host sent them
  config::ExecutorConfig config_;   ///< what they say, and what has come of it
  std::set<std::string> inactive_;  ///< sessions that were told to stop by their configuration
  std::uint64_t next_turn_ = 0;
  std::uint64_t turn_ = 0;
  Event turned_;

  const std::uint64_t memory_for_containers_;
  std::int64_t applied_time_ = 0;
  std::string applied_entropy_;
  std::string applied_hostname_;
  os::Network network_;
  NetworkJobs network_jobs_;
  os::Modules& modules_;
  os::ContainerRoot root_;
  NewestJob<Mounts> mount_jobs_;
  os::IdentityFiles identity_files_;
  std::unique_ptr<WaitingProcess> waiting_;  ///< for the first container
  os::Growth growth_;
  bool containers_begun_ = false;  ///< sessions were begun: from now on nothing of theirs waits for networks

  std::map<std::string, Entry> sessions_;
  Extensions extensions_;

  extraconfig::Pairs reported_;
  bool report_pending_ = false;
  bool reporting_ = false;
  bool copying_ = false;  ///< nothing leaves by itself before the containers go on
  bool is_new_copy_ = false;
  bool link_lost_ = false;
  Event report_changed_;
  std::optional<Leave> leave_;
  bool shutting_down_ = false;

  config::ForkRequest fork_request_;  ///< as the configuration is to have it
  std::shared_ptr<ForkServer> fork_server_;

  std::uint64_t restart_tickets_ = 0;
  Event restarts_changed_;
};

}  // namespace berth::tether
