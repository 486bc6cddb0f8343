#include <unistd.h>

#include "cli/command.hpp"
#include "cli/detach_keys.hpp"
#include "cli/session_client.hpp"
#include "cli/terminal.hpp"

namespace berth::cli::command {

int start(Context& context, const Arguments& arguments) {
  bool attached = false;
  bool interactive = false;
  std::string detach_keys(kDefaultDetachKeys);
  std::vector<std::string> names;
  Parser parser("berth start", "[OPTIONS] CONTAINER [CONTAINER...]", "Starts containers.");
  parser.flag("-a,--attach", attached, "Show the output, pass signals on and return the exit code")
      .flag("-i,--interactive", interactive, "Connect standard input too")
      .value("--detach-keys", "KEYS", detach_keys, "Keys that leave a terminal's container running")
      .positionals(names, 1)
      .example("berth start -ai builder");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  if (!attached && !interactive) {
    return for_each_name(context, names, [&](const std::string& name) {
      context.engine().start(name);
      print_line(name);
    });
  }
  if (names.size() > 1)
    throw Error(Code::invalid_argument, "only one container can be started and attached to at once");
  SessionOptions session;
  session.detach_keys = parse_detach_keys(detach_keys);
  const record::Pod pod = context.engine().get(names.front());
  session.with_input = interactive && pod.session().open_stdin;
  if (session.with_input && pod.session().tty && !is_terminal(STDIN_FILENO)) {
    throw Error(Code::invalid_argument, "the input device is not a TTY");
  }
  session.pass_signal = signals_for(context, pod.id());
  return exit_status(run_session(context.engine().start_attached(pod.id(), start_options(session)), session));
}

}  // namespace berth::cli::command
