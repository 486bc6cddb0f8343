#include "cli/command.hpp"

namespace berth::cli::command {

int wait(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser("berth wait", "CONTAINER [CONTAINER...]",
                "Waits until containers end, then shows their exit codes.");
  parser.positionals(names, 1).example("berth wait builder");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    print_line(std::to_string(context.engine().wait(name).code));
    flush_output();
  });
}

}  // namespace berth::cli::command
