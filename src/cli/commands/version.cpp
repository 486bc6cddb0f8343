#include "cli/command.hpp"

namespace berth::cli::command {

int version(Context& context, const Arguments& arguments) {
  std::vector<std::string> none;
  Parser parser("berth version", "", "Shows the version.");
  parser.positionals(none, 0, 0).example("berth version");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  print_line("berth version " BERTH_VERSION);
  return 0;
}

}  // namespace berth::cli::command
