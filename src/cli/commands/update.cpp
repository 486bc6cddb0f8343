#include "base/text.hpp"
#include "cli/command.hpp"
#include "cli/container_options.hpp"

namespace berth::cli::command {

int update(Context& context, const Arguments& arguments) {
  std::string cpus;
  std::string memory;
  std::vector<std::string> names;
  Parser parser("berth update", "[OPTIONS] CONTAINER [CONTAINER...]",
                "Gives containers other processors and memory: at once when they run, and at every start.");
  parser.value("--cpus", "N", cpus, "Processors")
      .value("-m,--memory", "SIZE", memory, "Memory of the container, such as 512m")
      .positionals(names, 1)
      .example("berth update --cpus 2 --memory 1g web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  launcher::UpdateRequest request;
  if (!cpus.empty()) request.cpus = parse_cpus(cpus);
  if (!memory.empty()) request.memory_bytes = parse_size(memory, "--memory");
  if (!request.cpus && !request.memory_bytes)
    throw Error(Code::invalid_argument, "nothing to update: give --cpus or --memory");
  return for_each_name(context, names, [&](const std::string& name) {
    context.engine().update(name, request);
    print_line(name);
  });
}

}  // namespace berth::cli::command
