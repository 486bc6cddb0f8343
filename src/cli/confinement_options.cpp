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

}  // namespace

void declare(ConfinementOptions& options, Parser& parser) {
  parser.value("--pids-limit", "N", options.pids_limit, "Most processes and threads (-1: no limit)")
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
