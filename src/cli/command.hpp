#pragma once

#include <span>
#include <string>
#include <string_view>

#include "cli/context.hpp"
#include "cli/parser.hpp"

namespace berth::cli {

/// A sub-command.
struct Command {
  std::string_view name;
  std::string_view summary;
  /// Parses its arguments, does it, and returns the exit status. Failures are thrown as Error.
  int (*run)(Context&, const Arguments&);
  /// Exit status of its own failures: 125 where others are the container's (Docker).
  int failure_status = 1;
};

std::span<const Command> commands();

/// The lines of a help text that list `commands`; `program` is e.g. "berth volume".
std::string command_list(std::span<const Command> commands, std::string_view program);

/// Runs one of several commands of a command: `name` is e.g. "volume".
struct CommandGroup {
  std::string_view name;
  std::string_view description;
  std::string_view example;
  std::span<const Command> commands;
};
int run_group(const CommandGroup& group, Context& context, const Arguments& arguments);

namespace command {

int attach(Context&, const Arguments&);
int config(Context&, const Arguments&);
int cp(Context&, const Arguments&);
int create(Context&, const Arguments&);
int doctor(Context&, const Arguments&);
int exec(Context&, const Arguments&);
int fork(Context&, const Arguments&);
int images(Context&, const Arguments&);
int inspect(Context&, const Arguments&);
int kill(Context&, const Arguments&);
int logs(Context&, const Arguments&);
int pause(Context&, const Arguments&);
int port(Context&, const Arguments&);
int port_forward(Context&, const Arguments&);
int ps(Context&, const Arguments&);
int pull(Context&, const Arguments&);
int restart(Context&, const Arguments&);
int rm(Context&, const Arguments&);
int rmi(Context&, const Arguments&);
int run(Context&, const Arguments&);
int snapshot(Context&, const Arguments&);
int ssh(Context&, const Arguments&);
int ssh_config(Context&, const Arguments&);
int ssh_proxy(Context&, const Arguments&);
int start(Context&, const Arguments&);
int stats(Context&, const Arguments&);
int stop(Context&, const Arguments&);
int templates(Context&, const Arguments&);
int unpause(Context&, const Arguments&);
int update(Context&, const Arguments&);
int version(Context&, const Arguments&);
int volume(Context&, const Arguments&);
int wait(Context&, const Arguments&);

}  // namespace command

/// The whole program: global options, then a command. Returns the exit status; throws nothing.
int run_berth(const Arguments& arguments);

}  // namespace berth::cli
