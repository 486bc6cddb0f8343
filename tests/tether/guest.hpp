#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/async.hpp"
#include "base/files.hpp"
#include "config/executor.hpp"
#include "hypervisor/hypervisor.hpp"
#include "link/attach_port.hpp"
#include "link/control.hpp"
#include "link/messages.hpp"
#include "link/output.hpp"
#include "link/ssh.hpp"

namespace berth::tether_test {

/// What everything that happens in an emulated machine may take.
inline constexpr Milliseconds kLimit{120'000};

/// Disks and initramfs that all tests share, made once.
class Fixtures {
 public:
  static const Fixtures& instance();

  const std::filesystem::path& kernel() const { return kernel_; }
  const std::filesystem::path& initramfs() const { return initramfs_; }
  const std::filesystem::path& image() const { return image_; }
  /// A fresh empty file system in `folder`.
  static std::filesystem::path make_scratch(const std::filesystem::path& folder);

 private:
  Fixtures();

  TempDir folder_;
  std::filesystem::path kernel_;
  std::filesystem::path initramfs_;
  std::filesystem::path image_;
};

/// What came of one session on the output port.
struct SessionOutput {
  std::string standard_output;
  std::string standard_error;
  bool ended = false;
};

/// A machine with the tether in it, and the host's side of the link as a launcher plays it.
class Guest {
 public:
  struct Options {
    bool scratch = true;
    bool network = false;  ///< a card with user networking
    std::vector<hypervisor::NetworkCard> network_cards;
    std::filesystem::path scratch_image;  ///< empty: a fresh one
    unsigned cpus = 1;                    ///< this and the following as MachineSpec has them
    std::string kernel_arguments{};
    std::uint64_t most_memory_bytes = 0;
  };

  static Task<std::unique_ptr<Guest>> boot(const Options& options);
  ~Guest();

  config::ExecutorConfig config;  ///< change it and push()
  /// Called with what each report changes; the report is answered when it has returned.
  std::function<Task<>(const extraconfig::Pairs& changed)> on_report;

  /// Sends what differs from what the guest was told.
  Task<> push();
  Task<extraconfig::Pairs> order(link::Order order);
  /// Adds an exec of the session "main", starts it and waits for its end.
  Task<config::SessionConfig> exec(const std::string& id, std::vector<std::string> command,
                                   std::function<void(config::SessionConfig&)> adjust = {});

  /// Waits for a report that makes `condition` true of the session.
  Task<> wait_session(std::string id, std::string what,
                      std::function<bool(const config::SessionConfig&)> condition);
  /// Waits until something that came from the guest makes `condition` true.
  Task<> wait_change(std::string what, std::function<bool()> condition);
  Task<> wait_started(std::string id);
  Task<> wait_ended(std::string id);
  Task<> wait_output(std::string id, std::string what, std::function<bool(const SessionOutput&)> condition);

  const config::SessionConfig& session(const std::string& id) const;
  SessionOutput& output(const std::string& id) { return outputs_[id]; }

  Task<std::unique_ptr<link::ssh::Channel>> attach(std::string id, std::string streams);
  /// Adds an exec of the session "main" that has standard input and waits for it, and attaches to all its
  /// streams.
  Task<std::unique_ptr<link::ssh::Channel>> exec_attached(std::string id, std::vector<std::string> command);

  /// Tokens of the marks on the output port.
  const std::vector<std::string>& marks() const { return marks_; }
  std::uint64_t output_bytes() const { return output_bytes_; }
  int reports() const { return reports_; }
  /// While false nothing is read of the output port.
  void read_output(bool on) {
    reading_ = on;
    changed_.notify_all();
  }
  /// The next push() tells everything, as a launcher that the guest has not heard of.
  void begin_anew() { told_.clear(); }

  link::AttachPort& attach_port() { return *attach_port_; }

  const link::Hello& hello() const { return hello_; }
  hypervisor::Machine& machine() { return *machine_; }
  /// Orderly end; the scratch disk's file is whole afterwards.
  Task<hypervisor::MachineEnd> power_off();
  const std::filesystem::path& scratch() const { return scratch_; }

 private:
  Guest(const asio::any_io_executor& executor, std::unique_ptr<hypervisor::Machine> machine);
  Task<> serve_control();
  Task<> reset_attach(std::string token);
  Task<> serve_output();

  asio::any_io_executor executor_;
  std::unique_ptr<TempDir> folder_;
  std::filesystem::path scratch_;
  std::unique_ptr<hypervisor::Machine> machine_;
  link::ControlChannel control_;
  Stream output_port_;
  extraconfig::Pairs told_;
  link::Hello hello_;
  bool greeted_ = false;
  Event changed_;
  std::map<std::string, SessionOutput> outputs_;
  std::map<std::uint16_t, std::string> numbers_;
  std::vector<std::string> marks_;
  std::uint64_t output_bytes_ = 0;
  int reports_ = 0;
  bool reading_ = true;
  link::ssh::KeyPair host_key_;
  link::ssh::KeyPair client_key_;
  std::shared_ptr<link::AttachPort> attach_port_;
};

/// What the program writes to standard output; a failure throws.
std::string run_tool(const std::string& program, std::vector<std::string> arguments);

inline constexpr std::chrono::seconds kTestLimit{300};

/// Runs `body` on a loop of its own; an exception that leaves it fails the test, and so does the limit.
void run_on_loop(std::function<Task<>()> body, std::chrono::seconds limit = kTestLimit);

/// The command that runs a script.
std::vector<std::string> shell(const std::string& script);

/// A script that goes on until it is told to end.
inline const std::string kIdle = "trap 'exit 0' TERM; sleep 100000 & wait";

/// A machine in which the script runs as the session "main".
Task<std::unique_ptr<Guest>> boot_with_running_main(std::string script);

/// A session that runs `command` in the container "main".
config::SessionConfig make_session(std::vector<std::string> command);

/// An order about the session "main".
link::Order order_for_main(std::string_view verb);

}  // namespace berth::tether_test
