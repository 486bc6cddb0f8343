#include "base/error.hpp"
#include "cli/commands/config.hpp"
#include "cli/config_input.hpp"
#include "cli/config_secrets.hpp"
#include "cli/pairs_text.hpp"
#include "extraconfig/codec.hpp"

namespace berth::cli::command {
namespace {

struct DiffOptions : ConfigOptions {
  bool documents = false;
  bool show_secrets = false;
};

Pairs read_side(ConfigInput& input, const std::string& name, const DiffOptions& options,
                const std::optional<SealingKey>& key) {
  const Pairs pairs = options.documents ? input.encode_document(name, options) : input.read_pairs(name);
  const Pairs wanted = filter_scopes(pairs, options);
  return key ? open_secrets(wanted, key, {}) : wanted;
}

}  // namespace

int config_diff(Context& context, const Arguments& arguments) {
  DiffOptions options;
  std::vector<std::string> files;
  Parser parser(
      "berth config diff", "[OPTIONS] A B",
      "Shows the pairs that only A has (-) and that only B has (+). Exit status: 0 for none, 1 for some, "
      "2 for a failure.");
  parser.flag("--json", options.documents, "A and B are JSON documents: compare their pairs");
  options.declare_type(parser);
  options.declare_scopes(parser);
  parser
      .value("--key-file", "FILE", options.key_file,
             "Open sealed values with the key in this file, and compare what is in them")
      .flag("--show-secrets", options.show_secrets, "Show secret values too")
      .positionals(files, 2, 2)
      .example("berth config diff before.json after.json");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  ConfigInput input;
  const std::optional<SealingKey> key = input.read_key(options);
  const Pairs before = read_side(input, files[0], options, key);
  const Pairs after = read_side(input, files[1], options, key);
  print(difference_text(before, after, options.show_secrets));
  return before == after ? 0 : 1;
}

}  // namespace berth::cli::command
