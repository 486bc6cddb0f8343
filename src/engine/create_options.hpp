#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/io_limit.hpp"
#include "config/ulimits.hpp"
#include "record/pod.hpp"

namespace berth::engine {

inline constexpr std::uint64_t kLeastMemory = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kDefaultMemory = std::uint64_t{512} << 20;

/// Docker's --restart.
struct RestartPolicy {
  std::string name = "no";   ///< no, on-failure, always or unless-stopped
  std::int64_t retries = 0;  ///< of on-failure; 0: without end
};

/// A volume that a container is to see.
struct VolumeRequest {
  std::string name;  ///< empty: an anonymous one is made
  std::string path;
  bool read_only = false;
  bool no_copy = false;  ///< a fresh one does not get the image's content
};

/// What `run` and `create` ask for. An absent value means what the image, else Docker, says.
struct CreateOptions {
  std::string image;  ///< a reference, an image id or its prefix
  std::string name;   ///< empty: a random one
  std::vector<std::string> command;
  std::optional<std::vector<std::string>> entrypoint;  ///< given but empty: the image's is dropped
  std::vector<std::string> environment;                ///< K=V, later ones win
  std::string working_directory;
  std::string user;
  std::string hostname;
  std::string stop_signal;
  std::vector<record::PortBinding> ports;  ///< host port 0: a free one is chosen
  double cpus = 1;
  std::uint64_t memory_bytes = 0;  ///< of the machine; 0: the default
  std::int64_t pids_limit = 0;     ///< 0 or -1: none
  std::vector<config::IoLimit> io_limits;
  RestartPolicy restart;
  std::string network = "user";
  std::map<std::string, std::string> extra_hosts;  ///< as config::ExecutorConfig has them
  std::vector<std::string> dns;                    ///< addresses of name servers; none: the network's
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;
  std::string accelerator = "auto";
  bool cold = false;  ///< the machine boots
  bool open_stdin = false;
  bool tty = false;
  bool auto_remove = false;
  bool remove_unless_started = false;  ///< as `run` wants it: a container whose process never ran goes away
  bool read_only = false;
  bool init = false;
  std::vector<std::pair<std::string, std::string>> tmpfs;  ///< path, mount options
  std::vector<VolumeRequest> volumes;
  std::vector<record::HostFolder> folders;
  std::map<std::string, std::string> labels;
  std::vector<config::Ulimit> ulimits;
  std::map<std::string, std::string> sysctls;
  std::uint64_t shm_bytes = 0;       ///< 0: Docker's 64 MiB
  std::vector<std::string> cap_add;  ///< names of capabilities, or ALL
  std::vector<std::string> cap_drop;
  std::vector<std::string> security_options;  ///< no-new-privileges, seccomp=unconfined
  std::vector<std::string> group_add;
  std::vector<std::string> ssh_keys;  ///< public keys that may log in; lines of authorized_keys
  std::int64_t oom_score_adj = 0;
  std::int64_t fork_limit = 0;  ///< copies of itself that the container may ask for; 0: none
};

/// Throws invalid-argument for what cannot be, whatever the image says.
void check_options(const CreateOptions& options);
/// The same for a name; an empty one is fine.
void check_container_name(std::string_view name);

/// Throw invalid-argument for what this host has not, or no machine can do with.
void check_cpus(double cpus);
void check_memory_size(std::uint64_t bytes);

/// The path at which something is mounted, without what changes nothing: "/a//b/" is "/a/b".
std::string mount_path(std::string_view path);

/// The image may say these, too. Both throw invalid-argument.
void check_stop_signal(const std::string& name);
void check_working_directory(const std::string& path);

/// What CreateOptions::security_options mean.
struct SecurityOptions {
  bool no_new_privileges = false;
  bool seccomp_unconfined = false;
};

/// The last word about each counts. Throws invalid-argument.
SecurityOptions parse_security_options(const std::vector<std::string>& texts);

}  // namespace berth::engine
