#include "cli/commands/config.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {
namespace {

constexpr Command kSubcommands[] = {
    {"encode", "Turn a JSON document into pairs, or show the pairs of a container's record", config_encode},
    {"decode", "Turn pairs into a JSON document", config_decode},
    {"keys", "List the keys of a field", config_keys},
    {"diff", "Compare two sets of pairs", config_diff, 2},
    {"generate-key", "Make a file with a new sealing key", config_generate_key},
};

std::string subcommand_list() {
  std::string text = "Commands:\n";
  for (const Command& one : kSubcommands) text += fmt::format("  {:<14}{}\n", one.name, one.summary);
  return text + "\nSee 'berth config COMMAND --help' for a command's options.\n";
}

}  // namespace

int config(Context& context, const Arguments& arguments) {
  std::vector<std::string> command;
  Parser parser(
      "berth config", "COMMAND [ARG...]",
      "Turns configurations into the pairs of key and value that records, hosts and guests have, and back.");
  parser.positionals(command, 1)
      .flags_end_at_positional()
      .example("berth config encode --container web --scope guest")
      .epilogue(subcommand_list());
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const auto found = std::find_if(std::begin(kSubcommands), std::end(kSubcommands),
                                  [&](const Command& one) { return one.name == command.front(); });
  if (found == std::end(kSubcommands)) {
    throw Error(Code::invalid_argument, "'{}' is not a command of berth config: see 'berth config --help'",
                printable(command.front()));
  }
  context.set_failure_status(found->failure_status);
  return found->run(context, {command.begin() + 1, command.end()});
}

}  // namespace berth::cli::command
