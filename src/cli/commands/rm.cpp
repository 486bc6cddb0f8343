#include "cli/command.hpp"

namespace berth::cli::command {

int rm(Context& context, const Arguments& arguments) {
  bool force = false;
  bool volumes = false;
  std::vector<std::string> names;
  Parser parser("berth rm", "[OPTIONS] CONTAINER [CONTAINER...]", "Removes containers.");
  parser.flag("-f,--force", force, "Kill running ones first; those that do not exist are no failure")
      .flag("-v,--volumes", volumes, "Remove the anonymous volumes that were made for them, too")
      .positionals(names, 1)
      .example("berth rm -f web");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;
  return for_each_name(context, names, [&](const std::string& name) {
    try {
      context.engine().remove(name, force,
                              volumes ? engine::AnonymousVolumes::remove : engine::AnonymousVolumes::keep);
      print_line(name);
    } catch (const Error& error) {
      if (!force || error.code() != Code::not_found) throw;
      print_error(error.what());
    }
  });
}

}  // namespace berth::cli::command
