#include <unistd.h>

#include <limits>

#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/detach_keys.hpp"
#include "cli/session_client.hpp"
#include "cli/terminal.hpp"

namespace berth::cli::command {

int attach(Context& context, const Arguments& arguments) {
  bool no_input = false;
  engine::AttachOptions options;
  std::string tail = "0";
  SessionOptions session;
  std::string detach_keys(kDefaultDetachKeys);
  std::vector<std::string> names;
  Parser parser("berth attach", "[OPTIONS] CONTAINER",
                "Connects the terminal with a running container's main process.");
  parser.flag("--no-stdin", no_input, "Do not connect standard input")
      .flag("--sig-proxy", session.proxy_signals,
            "Pass signals on to a container without a terminal (default true)")
      .value("--detach-keys", "KEYS", detach_keys, "Keys that leave a terminal's container running")
      .value("-n,--tail", "NUMBER", tail, "Show so many of the last lines first")
      .flag("--lossy", options.may_lose_output,
            "When this client reads too slowly, leave output out and say so; else it is cut off")
      .positionals(names, 1, 1)
      .example("berth attach --tail 20 web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  options.tail =
      static_cast<std::uint64_t>(parse_integer(tail, 0, std::numeric_limits<std::int64_t>::max(), "--tail"));
  session.detach_keys = parse_detach_keys(detach_keys);
  const record::Pod pod = context.engine().get(names.front());
  session.with_input = !no_input && pod.session().open_stdin;
  if (session.with_input && pod.session().tty && !is_terminal(STDIN_FILENO)) {
    throw Error(Code::invalid_argument, "the input device is not a TTY");
  }
  session.pass_signal = signals_for(context, pod.id());
  options.with_input = session.with_input;
  return exit_status(run_session(context.engine().attach(pod.id(), options), session));
}

}  // namespace berth::cli::command
