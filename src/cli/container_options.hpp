#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/confinement_options.hpp"
#include "cli/context.hpp"
#include "cli/mount_options.hpp"
#include "cli/parser.hpp"
#include "engine/engine.hpp"

namespace berth::cli {

/// The options that `run` and `create` share, as they were typed.
struct ContainerOptions {
  std::string name;
  std::vector<std::string> variables;
  std::vector<std::string> env_files;
  std::string working_directory;
  std::string user;
  std::optional<std::string> entrypoint;
  std::vector<std::string> publish;
  std::string cpus;
  std::string memory;
  ConfinementOptions confinement;
  MountOptions mounts;
  std::string hostname;
  std::string network = "user";
  std::vector<std::string> add_hosts;
  std::vector<std::string> dns;
  std::vector<std::string> dns_search;
  std::vector<std::string> dns_options;
  std::string stop_signal;
  std::string restart = "no";
  std::vector<std::string> labels;
  std::vector<std::string> ssh_key_files;
  std::string accelerator;
  bool cold = false;
  std::string fork_limit;
  std::string pull = "missing";
  std::string cidfile;
  bool interactive = false;
  bool tty = false;
  bool auto_remove = false;
  bool read_only = false;
  bool init = false;
  bool quiet = false;
  std::vector<std::string> image_and_command;
};

/// Declares them all, with the image and its command as positionals.
void declare(ContainerOptions& options, Parser& parser);

/// Their meaning, for engine::check_options to check; the image as it was typed. Throws invalid-argument for
/// what has none, and what reading an --env-file throws.
engine::CreateOptions parse(const ContainerOptions& options);

/// Makes the container, pulling its image when the options say so. `to_run`: it goes away if its process
/// never runs.
record::Pod create_container(Context& context, const ContainerOptions& options, bool to_run);

/// What --accel, else BERTH_ACCEL says. Throws invalid-argument.
std::string choose_accelerator(const std::string& asked);

/// The number of --cpus. Throws invalid-argument.
double parse_cpus(std::string_view text);

/// "NAME[:N]" of --restart; only on-failure has an N. Throws invalid-argument.
engine::RestartPolicy parse_restart(std::string_view text);

/// "NAME:ADDRESS" or "NAME=ADDRESS" of --add-host; the address may be in brackets, or "host-gateway". Throws
/// invalid-argument.
std::pair<std::string, std::string> parse_add_host(std::string_view text);

/// "K=V" or "K" of --label. Throws invalid-argument.
std::map<std::string, std::string> parse_labels(const std::vector<std::string>& texts);

}  // namespace berth::cli
