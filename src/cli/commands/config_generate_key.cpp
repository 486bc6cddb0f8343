#include "cli/commands/config.hpp"
#include "cli/config_secrets.hpp"

namespace berth::cli::command {

int config_generate_key(Context& context, const Arguments& arguments) {
  std::vector<std::string> files;
  Parser parser(
      "berth config generate-key", "FILE",
      "Makes a file with a new sealing key that only you can read. One that is there is left alone.");
  parser.positionals(files, 1, 1).example("berth config generate-key key");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  write_new_key(files.front());
  return 0;
}

}  // namespace berth::cli::command
