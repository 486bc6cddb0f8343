#include "base/error.hpp"
#include "base/text.hpp"
#include "cli/command.hpp"

namespace berth::cli::command {
namespace {

/// The launcher tells the guest, and reads a code's name, a newline and a message.
int fork_for_guest(Context& context, const std::string& container, const engine::ForkOptions& options) {
  try {
    for (const std::string& id : context.engine().fork(container, options)) print_line(id);
  } catch (const Error& error) {
    print_line(fmt::format("{}\n{}", to_string(error.code()), error.what()));
    return 1;
  }
  return 0;
}

}  // namespace

int fork(Context& context, const Arguments& arguments) {
  constexpr std::int64_t kMost = 1000;
  engine::ForkOptions options;
  std::string number = "1";
  std::vector<std::string> names;
  Parser parser(
      "berth fork", "[OPTIONS] CONTAINER",
      "Makes copies of a running container: its processes, memory, open files and disk. They go on from "
      "the same instant as containers of their own; the original goes on, too. Shows their ids.");
  parser.value("-n,--number", "N", number, "So many copies (default 1)")
      .value("--name", "NAME", options.name, "Name of the copy; of several NAME-1, NAME-2 and so on")
      .flag("--for-guest", options.for_guest, "A process in the container has asked for it")
      .positionals(names, 1, 1)
      .example("berth fork -n 10 --name worker warm");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  options.count = static_cast<std::uint32_t>(parse_integer(number, 1, kMost, "--number"));
  if (options.for_guest) return fork_for_guest(context, names.front(), options);
  for (const std::string& id : context.engine().fork(names.front(), options)) print_line(id);
  return 0;
}

}  // namespace berth::cli::command
