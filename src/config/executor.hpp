#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/io_limit.hpp"
#include "config/network_types.hpp"
#include "config/ulimits.hpp"
#include "describe/describe.hpp"

/// The configuration of a container's machine: what is stored, what the guest is shown and what it answers.
/// Names, keys and scopes of the original fields are those of VIC's executor; Berth's own follow them.
namespace berth::config {

using describe::Bytes;

/// Identity of a session or network; the guest sees the name.
struct Common {
  std::string execution_environment;
  std::string id;
  std::string name;
  std::string notes;
  bool operator==(const Common&) const = default;
};

/// Identity of the machine; the guest does not see the name.
struct ExecutorCommon {
  std::string execution_environment;
  std::string id;
  std::string name;
  std::string notes;
  bool operator==(const ExecutorCommon&) const = default;
};

/// When a session was made, started and ended; Unix seconds, 0 for not yet.
struct Detail {
  std::int64_t create_time = 0;
  std::int64_t start_time = 0;
  std::int64_t stop_time = 0;
  bool operator==(const Detail&) const = default;
};

struct ExitLog {
  describe::Time time;
  std::int64_t exit_status = 0;
  std::string message;
  bool operator==(const ExitLog&) const = default;
};

/// Where the guest sends its system log.
struct SysLogConfig {
  std::string network;  ///< "tcp" or "udp"
  std::string raddr;    ///< HOST:PORT
  bool operator==(const SysLogConfig&) const = default;
};

struct Diagnostics {
  std::int64_t debug_level = 0;
  std::int64_t resurrection_count = 0;  ///< restarts by the guest
  std::vector<ExitLog> exit_logs;
  std::optional<SysLogConfig> syslog;
  bool operator==(const Diagnostics&) const = default;
};

/// What a session runs.
struct Cmd {
  std::string path;
  std::vector<std::string> args;  ///< with argv[0]
  std::vector<std::string> env;   ///< NAME=VALUE
  std::string dir;
  bool operator==(const Cmd&) const = default;
};

/// What a container and its execs may use of their machine together; 0 means no limit of its own.
struct SessionResources {
  std::int64_t memory = 0;      ///< bytes; beyond them the OOM killer ends a process of the container
  std::int64_t pids_limit = 0;  ///< processes and threads
  std::int64_t nano_cpus = 0;   ///< processor time in 10^-9 processors
  std::vector<IoLimit> io{};    ///< each path once
  bool operator==(const SessionResources&) const = default;
};

/// A process of the container: its main one, or an exec.
struct SessionConfig {
  Common common;
  Cmd cmd;
  bool attach = false;
  bool open_stdin = false;
  bool run_block = false;  ///< wait for an attach before the start
  bool active = false;
  bool tty = false;
  std::int64_t exit_status = 0;
  std::string started;   ///< "true", or why it did not start
  bool restart = false;  ///< start it again when it has ended
  std::string stop_signal;
  Diagnostics diagnostics;
  std::string user;
  std::string group;
  Detail detail;

  bool init = false;                                     ///< run below a reaper
  std::optional<std::vector<std::string>> capabilities;  ///< nothing: Docker's default set
  bool no_new_privileges = false;
  bool read_only_root = false;
  std::string container;    ///< id of the session whose namespaces an exec joins; empty for a main session
  std::int64_t signal = 0;  ///< that ended it; 0 for none
  bool oom_killed = false;
  std::int64_t window_columns = 0;
  std::int64_t window_rows = 0;
  SessionResources resources;  ///< of a main session
  std::vector<Ulimit> ulimits;
  std::map<std::string, std::string> sysctls;  ///< of a main session; see check_sysctl
  std::int64_t shm_size = 0;                   ///< of a main session: bytes of /dev/shm; 0: Docker's 64 MiB
  std::vector<std::string> group_add;          ///< further groups, by name or number
  std::int64_t oom_score_adj = 0;
  bool seccomp_unconfined = false;
  bool restart_on_failure = false;  ///< with restart: not after an end without failure
  std::int64_t restart_limit = 0;   ///< with restart: so many times; 0: without end
  bool restarting = false;          ///< has ended and will be started again
  std::int64_t fork_limit = 0;      ///< of a main session: copies of the machine that it may ask for; 0: none
  bool operator==(const SessionConfig&) const = default;
};

/// What happens to an image's files below an empty volume; the numbers are the format's.
enum class CopyMode { unset = 0, never = 1, fresh = 2 };

struct MountSpec {
  Url source;
  std::string path;
  std::string mode;
  CopyMode copy_mode = CopyMode::unset;
  bool operator==(const MountSpec&) const = default;
};

enum class TrustLevel { unspecified = 0, published = 1, open = 2, closed = 3, outbound = 4, peers = 5 };

struct ContainerNetwork {
  /// What the guest learned, e.g. by DHCP.
  struct Assigned {
    IpNetwork gateway;
    std::vector<IpAddress> nameservers;
    bool operator==(const Assigned&) const = default;
  };

  Common common;
  std::string type;
  std::vector<IpNetwork> destinations;
  IpNetwork gateway;
  bool is_default = false;
  std::vector<IpAddress> nameservers;
  std::vector<IpRange> pools;
  std::vector<std::string> aliases;
  TrustLevel trust_level = TrustLevel::unspecified;
  Assigned assigned;

  std::int64_t mtu = 0;  ///< bytes; 0: what the card or the DHCP server says
  bool operator==(const ContainerNetwork&) const = default;
};

/// An interface of the machine.
struct NetworkEndpoint {
  Common common;
  bool is_static = false;
  std::optional<IpNetwork> ip;
  IpNetwork assigned;
  ContainerNetwork network;
  std::vector<std::string> ports;
  bool internal = false;
  bool operator==(const NetworkEndpoint&) const = default;
};

/// Which build wrote the configuration.
struct Build {
  std::string version;
  std::string git_commit;
  std::string build_date;
  std::string build_number;
  std::string state;
  std::int64_t plugin_version = 0;
  bool operator==(const Build&) const = default;
};

/// Copies of the machine that a process in it asks for (docs/fork.md).
struct ForkRequest {
  std::int64_t sequence = 0;  ///< counts the requests, from 1
  std::int64_t count = 0;     ///< copies that are asked for; 0: nobody waits
  bool operator==(const ForkRequest&) const = default;
};

/// The whole machine. The maps' keys are ids.
struct ExecutorConfig {
  ExecutorCommon common;
  std::int64_t create_time = 0;
  Diagnostics diagnostics;
  std::map<std::string, SessionConfig> sessions;
  std::map<std::string, SessionConfig> execs;  ///< not kept over a power-off
  std::map<std::string, MountSpec> mounts;
  std::map<std::string, NetworkEndpoint> networks;
  Bytes key;  ///< private host key of the attach server, PEM
  std::string layer_id;
  std::string image_id;
  std::map<std::string, std::string> annotations;
  std::string repo_name;
  std::optional<Build> version;
  bool asymmetric_routing = false;
  std::string hostname;
  std::string domainname;

  std::vector<std::string> authorized_keys;        ///< of the host; lines of OpenSSH's authorized_keys
  std::vector<std::string> user_keys;              ///< of those who may log in; likewise
  std::map<std::string, std::string> extra_hosts;  ///< name, and its addresses with blanks between them
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;  ///< of resolv.conf(5)
  std::chrono::nanoseconds time{};       ///< the host's clock, since 1970-01-01 UTC
  Bytes entropy;                         ///< seeds the guest's generators
  ForkRequest fork_request;
  bool operator==(const ExecutorConfig&) const = default;
};

/// Whether the endpoint asks for a firewall in the guest: by a trust level, or as one on a network of type
/// "external" or "bridge".
bool wants_firewall(const NetworkEndpoint& endpoint);

/// Whether DHCP has given one of them an address.
bool has_lease(const std::map<std::string, NetworkEndpoint>& networks);

/// Takes away what DHCP gave them.
void forget_assigned(std::map<std::string, NetworkEndpoint>& networks);

/// An exec of a container before it has a command: in its namespaces, with its environment, user, rights and
/// limits.
SessionConfig exec_in(const SessionConfig& container);

}  // namespace berth::config

#include "config/executor_fields.hpp"
