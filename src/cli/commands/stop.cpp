#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {
namespace {

std::optional<std::chrono::seconds> parse_grace(const std::optional<std::string>& text) {
  constexpr std::int64_t kYear = 365 * 86400;
  if (!text) return std::nullopt;
  return std::chrono::seconds(parse_integer(*text, 0, kYear, "--time"));
}

}  // namespace

int stop(Context& context, const Arguments& arguments) {
  std::optional<std::string> grace;
  std::vector<std::string> names;
  Parser parser("berth stop", "[OPTIONS] CONTAINER [CONTAINER...]",
                "Stops containers: sends the stop signal, and SIGKILL when they take too long.");
  parser.value("-t,--time", "SECONDS", grace, "Wait so long before SIGKILL (default 10)")
      .positionals(names, 1)
      .example("berth stop -t 30 web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const auto seconds = parse_grace(grace);
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().stop(name, seconds);
    print_line(name);
  });
}

int restart(Context& context, const Arguments& arguments) {
  std::optional<std::string> grace;
  std::vector<std::string> names;
  Parser parser("berth restart", "[OPTIONS] CONTAINER [CONTAINER...]",
                "Stops containers and starts them again.");
  parser.value("-t,--time", "SECONDS", grace, "Wait so long before SIGKILL (default 10)")
      .positionals(names, 1)
      .example("berth restart web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const auto seconds = parse_grace(grace);
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().stop(name, seconds);
    context.engine().start(name);
    print_line(name);
  });
}

}  // namespace berth::cli::command
