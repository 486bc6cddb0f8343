#include "cli/confinement_options.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

/// What Linux can count (PID_MAX_LIMIT).
constexpr std::int64_t kMostProcesses = 4'194'304;
constexpr std::int64_t kMostOomScore = 1000;

/// A later one of the same name wins.
std::vector<config::Ulimit> parse_ulimits(const std::vector<std::string>& texts) {
  std::vector<config::Ulimit> limits;
  for (const std::string& text : texts) {
    const config::Ulimit limit = config::parse_ulimit(text);
    std::erase_if(limits, [&](const config::Ulimit& before) { return before.name == limit.name; });
    limits.push_back(limit);
  }
  return limits;
}

std::map<std::string, std::string> parse_sysctls(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> sysctls;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) {
      throw Error(Code::invalid_argument, "--sysctl '{}': use NAME=VALUE", printable(text));
    }
    sysctls[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return sysctls;
}

/// One of the options --device-read-bps and so on.
struct IoOption {
  const char* name;
  std::vector<std::string> ConfinementOptions::*texts;
  std::int64_t config::IoLimit::*value;
  bool in_bytes;
};

constexpr IoOption kIoOptions[] = {
    {"--device-read-bps", &ConfinementOptions::device_read_bps, &config::IoLimit::read_bps, true},
    {"--device-write-bps", &ConfinementOptions::device_write_bps, &config::IoLimit::write_bps, true},
    {"--device-read-iops", &ConfinementOptions::device_read_iops, &config::IoLimit::read_iops, false},
    {"--device-write-iops", &ConfinementOptions::device_write_iops, &config::IoLimit::write_iops, false},
};

std::int64_t parse_rate(const IoOption& option, std::string_view text, std::string_view value) {
  const std::string what = fmt::format("{} '{}': the rate", option.name, printable(text));
  if (!option.in_bytes) return parse_integer(value, 1, INT32_MAX, what);
  const std::uint64_t bytes = parse_size(value, what);
  if (bytes == 0 || bytes > static_cast<std::uint64_t>(INT64_MAX))
    throw Error(Code::invalid_argument, "{} '{}' is out of range", what, printable(value));
  return static_cast<std::int64_t>(bytes);
}

/// "PATH:RATE"; a later one for the same path wins.
void add_io_limit(const IoOption& option, const std::string& text, std::vector<config::IoLimit>& limits) {
  const std::size_t colon = text.rfind(':');
  if (!text.starts_with('/') || colon == std::string::npos) {
    throw Error(
        Code::invalid_argument,
        "{} '{}': use PATH:RATE, where PATH is / for the container's own disk or the place of a volume",
        option.name, printable(text));
  }
  const std::string path = engine::mount_path(std::string_view(text).substr(0, colon));
  auto limit = std::find_if(limits.begin(), limits.end(),
                            [&](const config::IoLimit& one) { return one.path == path; });
  if (limit == limits.end()) {
    limits.emplace_back();
    limit = std::prev(limits.end());
    limit->path = path;
  }
  (*limit).*option.value = parse_rate(option, text, std::string_view(text).substr(colon + 1));
}

}  // namespace

void declare(ConfinementOptions& options, Parser& parser) {
  parser.value("--pids-limit", "N", options.pids_limit, "Most processes and threads (-1: no limit)")
      .list("--device-read-bps", "PATH:RATE", options.device_read_bps,
            "Most bytes read a second from the disk at PATH: / for the container's own, or a volume's place")
      .list("--device-write-bps", "PATH:RATE", options.device_write_bps, "Most bytes written a second to it")
      .list("--device-read-iops", "PATH:N", options.device_read_iops, "Most reads a second from it")
      .list("--device-write-iops", "PATH:N", options.device_write_iops, "Most writes a second to it")
      .list("--ulimit", "NAME=SOFT[:HARD]", options.ulimits, "Limit of each process, such as nofile=1024")
      .list("--sysctl", "NAME=VALUE", options.sysctls, "Set a kernel setting of the container")
      .value("--shm-size", "SIZE", options.shm_size, "Size of /dev/shm (default 64m)")
      .list("--cap-add", "NAME", options.cap_add, "Give a capability, or ALL")
      .list("--cap-drop", "NAME", options.cap_drop, "Take a capability, or ALL")
      .list("--security-opt", "OPTION", options.security_options, "no-new-privileges or seccomp=unconfined")
      .list("--group-add", "GROUP", options.group_add, "A further group, by name or number")
      .value("--oom-score-adj", "N", options.oom_score_adj,
             "How likely the OOM killer chooses it (-1000 to 1000)");
}

void parse(const ConfinementOptions& options, engine::CreateOptions& request) {
  if (!options.pids_limit.empty()) {
    request.pids_limit = parse_integer(options.pids_limit, -1, kMostProcesses, "--pids-limit");
  }
  for (const IoOption& option : kIoOptions) {
    for (const std::string& text : options.*option.texts) add_io_limit(option, text, request.io_limits);
  }
  request.ulimits = parse_ulimits(options.ulimits);
  request.sysctls = parse_sysctls(options.sysctls);
  if (!options.shm_size.empty()) request.shm_bytes = parse_size(options.shm_size, "--shm-size");
  request.cap_add = options.cap_add;
  request.cap_drop = options.cap_drop;
  request.security_options = options.security_options;
  request.group_add = options.group_add;
  if (!options.oom_score_adj.empty()) {
    request.oom_score_adj =
        parse_integer(options.oom_score_adj, -kMostOomScore, kMostOomScore, "--oom-score-adj");
  }
}

}  // namespace berth::cli
