#include "config/executor.hpp"

#include <algorithm>

namespace berth::describe {
template const Type& type_of<config::SessionConfig>();
template const Type& type_of<config::ExecutorConfig>();
}  // namespace berth::describe

namespace berth::config {

bool wants_firewall(const NetworkEndpoint& endpoint) {
  return endpoint.network.trust_level != TrustLevel::unspecified || endpoint.network.type == "bridge" ||
         endpoint.network.type == "external";
}

bool has_lease(const std::map<std::string, NetworkEndpoint>& networks) {
  return std::any_of(networks.begin(), networks.end(), [](const auto& entry) {
    return !entry.second.is_static && !entry.second.assigned.empty();
  });
}

void forget_assigned(std::map<std::string, NetworkEndpoint>& networks) {
  for (auto& [id, endpoint] : networks) {
    endpoint.assigned = {};
    endpoint.network.assigned = {};
  }
}

SessionConfig exec_in(const SessionConfig& container) {
  SessionConfig exec;
  exec.container = container.common.id;
  exec.active = true;
  exec.cmd.env = container.cmd.env;
  exec.cmd.dir = container.cmd.dir;
  exec.user = container.user;
  exec.group = container.group;
  exec.group_add = container.group_add;
  exec.capabilities = container.capabilities;
  exec.no_new_privileges = container.no_new_privileges;
  exec.seccomp_unconfined = container.seccomp_unconfined;
  exec.ulimits = container.ulimits;
  exec.oom_score_adj = container.oom_score_adj;
  return exec;
}

}  // namespace berth::config
