#include "cli/command.hpp"
#include "cli/container_options.hpp"

namespace berth::cli::command {

int create(Context& context, const Arguments& arguments) {
  ContainerOptions options;
  Parser parser("berth create", "[OPTIONS] IMAGE [COMMAND] [ARG...]",
                "Makes a container from an image without starting it, and shows its id.");
  declare(options, parser);
  parser.example("berth create --name web -p 8080:80 nginx");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  print_line(create_container(context, options, false).id());
  return 0;
}

}  // namespace berth::cli::command
