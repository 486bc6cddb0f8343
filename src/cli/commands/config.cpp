#include "cli/commands/config.hpp"

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

}  // namespace

int config(Context& context, const Arguments& arguments) {
  return run_group(
      {"config",
       "Turns configurations into the pairs of key and value that records, hosts and guests have, and back.",
       "berth config encode --container web --scope guest", kSubcommands},
      context, arguments);
}

}  // namespace berth::cli::command
