#include <unistd.h>

#include "cli/command.hpp"
#include "cli/detach_keys.hpp"
#include "cli/environment.hpp"
#include "cli/session_client.hpp"
#include "cli/terminal.hpp"

namespace berth::cli::command {

int exec(Context& context, const Arguments& arguments) {
  engine::ExecOptions options;
  std::vector<std::string> variables;
  std::vector<std::string> env_files;
  std::vector<std::string> container_and_command;
  std::string detach_keys(kDefaultDetachKeys);
  Parser parser("berth exec", "[OPTIONS] CONTAINER COMMAND [ARG...]",
                "Runs a command in a running container.");
  parser.flag("-d,--detach", options.detach, "Run in the background")
      .flag("-i,--interactive", options.open_stdin, "Connect standard input")
      .flag("-t,--tty", options.tty, "Give the command a terminal")
      .list("-e,--env", "K=V", variables, "Set an environment variable")
      .list("--env-file", "FILE", env_files, "Read environment variables from a file")
      .value("-w,--workdir", "DIR", options.working_directory, "Working directory in the container")
      .value("-u,--user", "USER[:GROUP]", options.user, "User and group, by name or number")
      .value("--detach-keys", "KEYS", detach_keys, "Keys that leave a terminal's command running")
      .positionals(container_and_command, 2)
      .flags_end_at_positional()
      .example("berth exec -it web sh");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  SessionOptions session;
  session.with_input = options.open_stdin && !options.detach;
  session.detach_keys = parse_detach_keys(detach_keys);
  if (session.with_input && options.tty && !is_terminal(STDIN_FILENO)) {
    throw Error(Code::invalid_argument, "the input device is not a TTY");
  }
  options.environment = collect_environment(env_files, variables);
  options.command.assign(container_and_command.begin() + 1, container_and_command.end());
  const std::string& name = container_and_command.front();
  if (options.detach) {
    context.engine().exec_detached(name, options);
    return 0;
  }
  if (const std::optional<WindowSize> size = options.tty ? window_size(STDIN_FILENO) : std::nullopt) {
    options.columns = size->columns;
    options.rows = size->rows;
  }
  return exit_status(run_session(context.engine().exec(name, options), session));
}

}  // namespace berth::cli::command
