#include "cli/command.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"

namespace berth::cli {
namespace {

constexpr Command kCommands[] = {
    {"run", "Make a container from an image and run it", command::run, 125},
    {"exec", "Run a command in a running container", command::exec, 125},
    {"ps", "List containers", command::ps},
    {"logs", "Show a container's output", command::logs},
    {"attach", "Connect the terminal with a running container", command::attach},
    {"cp", "Copy files between a container and this machine", command::cp},
    {"create", "Make a container without starting it", command::create, 125},
    {"start", "Start containers", command::start},
    {"stop", "Stop containers", command::stop},
    {"restart", "Stop containers and start them again", command::restart},
    {"kill", "Send a signal to containers", command::kill},
    {"pause", "Make containers stand still", command::pause},
    {"unpause", "Let paused containers go on", command::unpause},
    {"fork", "Make copies of a running container", command::fork},
    {"snapshot", "Keep running containers as they are, to go on from later", command::snapshot},
    {"wait", "Wait until containers end, then show their exit codes", command::wait},
    {"rm", "Remove containers", command::rm},
    {"inspect", "Show everything known about containers and images, as JSON", command::inspect},
    {"port", "List a container's published ports", command::port},
    {"port-forward", "Connect local ports with ports of a running container", command::port_forward},
    {"ssh", "Log in to a running container by SSH", command::ssh, 255},
    {"ssh-config", "Show what ssh, scp and others need to reach containers", command::ssh_config},
    {"ssh-proxy", "Carry the connection of an SSH client (its ProxyCommand)", command::ssh_proxy},
    {"stats", "Show what running containers use", command::stats},
    {"update", "Give containers more or less processors and memory", command::update},
    {"pull", "Get an image", command::pull},
    {"images", "List images", command::images},
    {"rmi", "Remove images", command::rmi},
    {"template", "Make, list and remove what machines are cloned from", command::templates},
    {"volume", "Make, list and remove volumes", command::volume},
    {"config", "Turn configurations into keys and values and back", command::config},
    {"doctor", "Check what this machine offers and what is missing", command::doctor},
    {"version", "Show the version", command::version},
};

struct GlobalOptions {
  std::string root;
  std::string runtime;
  std::string trace;
  bool debug = false;
  bool version = false;
  std::vector<std::string> command;
};

void declare(GlobalOptions& options, Parser& parser) {
  parser.value("--root", "DIR", options.root, "Where images and containers are kept (also BERTH_ROOT)")
      .value("--runtime", "DIR", options.runtime, "Where sockets are kept (also BERTH_RUNTIME)")
      .flag("-D,--debug", options.debug, "Say more on standard error")
      .value("--trace", "FILE", options.trace,
             "Append what took how long, a JSON object a line (also BERTH_TRACE)")
      .flag("-v,--version", options.version, "Show the version")
      .positionals(options.command, 0)
      .flags_end_at_positional()
      .example("berth run --rm -it debian:12 bash")
      .epilogue(command_list(kCommands, "berth"));
}

engine::Paths paths_for(const GlobalOptions& options) {
  engine::Paths paths = engine::Paths::of_this_user();
  if (!options.root.empty()) paths.data = std::filesystem::absolute(options.root);
  if (!options.runtime.empty()) paths.runtime = std::filesystem::absolute(options.runtime);
  return paths;
}

int start_trace(const std::string& file) {
  if (file.empty()) return 0;
  try {
    trace::write_to(std::filesystem::absolute(file));
  } catch (const Error& error) {
    print_error(error.what());
    return 1;
  }
  return 0;
}

/// The one place where failures end.
int run_command(const GlobalOptions& options, const Command& command) {
  std::optional<Context> context;
  trace::since_start("start of berth");
  try {
    context.emplace(paths_for(options), command.failure_status);
    const int status = command.run(*context, {options.command.begin() + 1, options.command.end()});
    flush_output();
    return status;
  } catch (const Error& error) {
    print_error(error.what());
  } catch (const std::exception& error) {
    print_error(fmt::format("internal error: {}", error.what()));
  }
  return context ? context->failure_status() : command.failure_status;
}

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

int run_berth(const Arguments& arguments) {
  GlobalOptions options;
  Parser parser("berth", "[OPTIONS] COMMAND [ARG...]",
                "Runs every container in a virtual machine of its own.");
  declare(options, parser);
  if (const std::optional<int> status = parser.parse(arguments, 1)) return *status;
  if (const int status = start_trace(options.trace); status != 0) return status;
  if (options.debug) log::set_level(log::Level::debug);
  if (options.version) options.command = {"version"};
  if (options.command.empty()) {
    print(parser.help());
    return 0;
  }
  const std::string& name = options.command.front();
  const auto found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                  [&](const Command& c) { return c.name == name; });
  if (found == std::end(kCommands)) {
    print_error(fmt::format("'{}' is not a berth command", name));
    std::fputs("See 'berth --help'.\n", stderr);
    return 1;
  }
  return run_command(options, *found);
}

}  // namespace berth::cli
