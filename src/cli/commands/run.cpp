#include <unistd.h>

#include <filesystem>

#include "base/trace.hpp"
#include "cli/command.hpp"
#include "cli/container_options.hpp"
#include "cli/detach_keys.hpp"
#include "cli/session_client.hpp"
#include "cli/terminal.hpp"

namespace berth::cli::command {
namespace {

int start_detached(Context& context, const std::string& id) {
  if (const auto exit = wait_started(context.engine().start_attached(id, {}))) return exit_status(*exit);
  print_line(id);
  return 0;
}

/// `berth run --from-snapshot NAME`: what else a container is made of is the snapshot's.
int run_snapshot(Context& context, const Arguments& arguments) {
  std::string snapshot;
  std::string name;
  bool detach = false;
  bool auto_remove = false;
  bool interactive = false;
  bool proxy_signals = true;
  std::string detach_keys(kDefaultDetachKeys);
  std::vector<std::string> none;
  Parser parser("berth run", "--from-snapshot NAME [OPTIONS]",
                "Makes a container that goes on from a snapshot.");
  parser.value("--from-snapshot", "NAME", snapshot, "The snapshot")
      .flag("-d,--detach", detach, "Run in the background and show the container's id")
      .flag("-i,--interactive", interactive, "Pass standard input on")
      .value("--name", "NAME", name, "Name of the container")
      .flag("--rm", auto_remove, "Remove the container when it has ended")
      .flag("--sig-proxy", proxy_signals, "Pass signals on to a container without a terminal (default true)")
      .value("--detach-keys", "KEYS", detach_keys, "Keys that leave a terminal's container running")
      .positionals(none, 0, 0)
      .example("berth run --from-snapshot ready");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  SessionOptions session;
  session.with_input = interactive;
  session.proxy_signals = proxy_signals;
  session.detach_keys = parse_detach_keys(detach_keys);
  const record::Pod pod = context.engine().create_from_snapshot(snapshot, name, auto_remove);
  if (detach) return start_detached(context, pod.id());
  session.pass_signal = signals_for(context, pod.id());
  return exit_status(run_session(context.engine().start_attached(pod.id(), start_options(session)), session));
}

/// Whether it comes before any image; the words after some options are no image.
bool is_from_snapshot(const Arguments& arguments) {
  const std::string option = "--from-snapshot";
  for (auto word = arguments.begin(); word != arguments.end(); ++word) {
    if (*word == option || word->starts_with(option + "=")) return true;
    if (!word->starts_with("-") || *word == "--") return false;
    const bool takes_next = *word == "--name" || *word == "--detach-keys";
    if (takes_next && ++word == arguments.end()) return false;
  }
  return false;
}

}  // namespace

int run(Context& context, const Arguments& arguments) {
  if (is_from_snapshot(arguments)) return run_snapshot(context, arguments);
  ContainerOptions options;
  bool detach = false;
  bool proxy_signals = true;
  std::string detach_keys(kDefaultDetachKeys);
  std::string trace_file;
  Parser parser("berth run", "[OPTIONS] IMAGE [COMMAND] [ARG...]",
                "Makes a container from an image and runs it.");
  parser.flag("-d,--detach", detach, "Run in the background and show the container's id");
  declare(options, parser);
  parser.value("--trace", "FILE", trace_file, "Append what took how long, a JSON object a line")
      .flag("--sig-proxy", proxy_signals, "Pass signals on to a container without a terminal (default true)")
      .value("--detach-keys", "KEYS", detach_keys, "Keys that leave a terminal's container running")
      .example("berth run --rm -it debian:12 bash")
      .example("berth run -d --name web -p 8080:80 nginx");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  if (!trace_file.empty()) trace::write_to(std::filesystem::absolute(trace_file));

  SessionOptions session;
  session.with_input = options.interactive;
  session.proxy_signals = proxy_signals;
  session.detach_keys = parse_detach_keys(detach_keys);
  if (!detach && options.interactive && options.tty && !is_terminal(STDIN_FILENO)) {
    throw Error(Code::invalid_argument, "the input device is not a TTY");
  }
  const record::Pod pod = create_container(context, options, true);
  if (detach) return start_detached(context, pod.id());
  session.pass_signal = signals_for(context, pod.id());
  return exit_status(run_session(context.engine().start_attached(pod.id(), start_options(session)), session));
}

}  // namespace berth::cli::command
