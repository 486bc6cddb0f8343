#include "base/error.hpp"
#include "base/text.hpp"
#include "cli/commands/config.hpp"
#include "cli/config_input.hpp"
#include "extraconfig/calculate.hpp"
#include "extraconfig/codec.hpp"

namespace berth::cli::command {

int config_keys(Context& context, const Arguments& arguments) {
  ConfigOptions options;
  std::vector<std::string> words;
  Parser parser(
      "berth config keys", "[OPTIONS] PATH [FILE|-]",
      "Lists the keys that a field has. PATH has names as in Go, map keys and indices, joined by '.' or in "
      "brackets; '*' stands for all that the JSON document in FILE has.");
  options.declare_type(parser);
  options.declare_container(parser, "The record of this container instead of a document");
  parser.positionals(words, 1, 2)
      .example("berth config keys Sessions.web.Cmd.Path")
      .example("berth config keys --container web 'Sessions[*].ExitStatus'");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  const std::string path = words.front();
  const std::vector<std::string> files(words.begin() + 1, words.end());
  ConfigInput input;
  ConfigDocument document(options.type);
  const bool is_record = use_container(options, files);
  if (is_record) {
    const extraconfig::Pairs pairs = pairs_of_container(context, options);
    extraconfig::PairsSource source(pairs);
    extraconfig::decode(source, document.type(), document.value(), options.prefix_of(document));
  } else if (!files.empty()) {
    input.read_document(files.front(), document);
  }
  const void* value = is_record || !files.empty() ? document.value() : nullptr;
  for (const std::string& key :
       extraconfig::calculate_keys(document.type(), value, path, options.prefix_of(document))) {
    print_line(printable(key));
  }
  return 0;
}

}  // namespace berth::cli::command
