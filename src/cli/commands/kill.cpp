#include "base/signals.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {

int kill(Context& context, const Arguments& arguments) {
  std::string signal = "KILL";
  std::vector<std::string> names;
  Parser parser("berth kill", "[OPTIONS] CONTAINER [CONTAINER...]",
                "Sends a signal to the main process of containers.");
  parser.value("-s,--signal", "SIGNAL", signal, "By name or number (default KILL)")
      .positionals(names, 1)
      .example("berth kill -s HUP web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const std::optional<int> number = signal_number(signal);
  if (!number) throw Error(Code::invalid_argument, "invalid signal: {}", printable(signal));
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().kill(name, *number);
    print_line(name);
  });
}

}  // namespace berth::cli::command
