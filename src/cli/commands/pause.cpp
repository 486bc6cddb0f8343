#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {

int pause(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser(
      "berth pause", "CONTAINER [CONTAINER...]",
      "Makes the machines of containers stand still: nothing in them runs until they are unpaused.");
  parser.positionals(names, 1).example("berth pause web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().pause(name);
    print_line(name);
  });
}

int unpause(Context& context, const Arguments& arguments) {
  std::vector<std::string> names;
  Parser parser("berth unpause", "CONTAINER [CONTAINER...]",
                "Lets paused containers go on, with their clocks set.");
  parser.positionals(names, 1).example("berth unpause web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().unpause(name);
    print_line(name);
  });
}

}  // namespace berth::cli::command
