#include "cli/commands/config.hpp"
#include "cli/config_input.hpp"
#include "cli/config_secrets.hpp"
#include "cli/pairs_text.hpp"

namespace berth::cli::command {
int config_encode(Context& context, const Arguments& arguments) {
  ConfigOptions options;
  std::vector<std::string> files;
  Parser parser(
      "berth config encode", "[OPTIONS] [FILE|-]",
      "Shows the pairs of a JSON document, or those of a container's record as they are stored, as a "
      "JSON object.");
  options.declare_type(parser);
  options.declare_scopes(parser);
  options.declare_secrets(parser, "Seal secret values with the key in this file");
  options.declare_container(parser, "The record of this container instead of a document");
  parser.positionals(files, 0, 1)
      .example("berth config encode --scope guest machine.json")
      .example("berth config encode --container web --not-scope hidden");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  ConfigInput input;
  const std::optional<SealingKey> key = input.read_key(options);
  const Pairs pairs = use_container(options, files) ? pairs_of_container(context, options)
                                                    : input.encode_document(input_name(files), options);
  print(pairs_to_text(protect_secrets(filter_scopes(pairs, options), key, options.secrets)));
  return 0;
}

}  // namespace berth::cli::command
