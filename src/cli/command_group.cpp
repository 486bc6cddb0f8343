#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli {
namespace {

const Command* find(std::span<const Command> commands, std::string_view name) {
  const auto found =
      std::find_if(commands.begin(), commands.end(), [&](const Command& one) { return one.name == name; });
  return found == commands.end() ? nullptr : &*found;
}

}  // namespace

std::string command_list(std::span<const Command> commands, std::string_view program) {
  std::size_t width = 0;
  for (const Command& one : commands) width = std::max(width, one.name.size());
  std::string text = "Commands:\n";
  for (const Command& one : commands) text += fmt::format("  {:<{}}{}\n", one.name, width + 2, one.summary);
  return text + fmt::format("\nSee '{} COMMAND --help' for a command's options.\n", program);
}

int run_group(const CommandGroup& group, Context& context, const Arguments& arguments) {
  const std::string program = fmt::format("berth {}", group.name);
  std::vector<std::string> command;
  Parser parser(program, "COMMAND [ARG...]", std::string(group.description));
  parser.positionals(command, 1)
      .flags_end_at_positional()
      .example(std::string(group.example))
      .epilogue(command_list(group.commands, program));
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  const Command* const found = find(group.commands, command.front());
  if (found == nullptr) {
    throw Error(Code::invalid_argument, "'{}' is not a command of {}: see '{} --help'",
                printable(command.front()), program, program);
  }
  context.set_failure_status(found->failure_status);
  return found->run(context, {command.begin() + 1, command.end()});
}

}  // namespace berth::cli
