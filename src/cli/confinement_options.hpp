#pragma once

#include <string>
#include <vector>

#include "cli/parser.hpp"
#include "engine/engine.hpp"

namespace berth::cli {

/// What `run` and `create` say of a container's limits and rights, as it was typed.
struct ConfinementOptions {
  std::string pids_limit;
  std::vector<std::string> ulimits;
  std::vector<std::string> sysctls;
  std::vector<std::string> device_read_bps;
  std::vector<std::string> device_write_bps;
  std::vector<std::string> device_read_iops;
  std::vector<std::string> device_write_iops;
  std::string shm_size;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  std::vector<std::string> security_options;
  std::vector<std::string> group_add;
  std::string oom_score_adj;
};

void declare(ConfinementOptions& options, Parser& parser);

/// Puts their meaning into the request. Throws invalid-argument.
void parse(const ConfinementOptions& options, engine::CreateOptions& request);

}  // namespace berth::cli
