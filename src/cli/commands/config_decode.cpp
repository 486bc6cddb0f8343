#include <set>

#include "base/error.hpp"
#include "base/text.hpp"
#include "cli/commands/config.hpp"
#include "cli/config_input.hpp"
#include "cli/config_secrets.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"
#include "record/pod.hpp"

namespace berth::cli::command {
namespace {

/// Knows which pairs nobody asked for.
class WatchedSource final : public extraconfig::Source {
 public:
  explicit WatchedSource(const Pairs& pairs) : inner_(pairs) {
    for (const auto& pair : pairs) unread_.insert(pair.first);
  }
  std::optional<std::string_view> get(std::string_view key) override {
    if (const auto found = unread_.find(key); found != unread_.end()) unread_.erase(found);
    return inner_.get(key);
  }
  bool any_below(std::string_view prefix) override { return inner_.any_below(prefix); }
  const std::set<std::string_view>& unread() const { return unread_; }

 private:
  extraconfig::PairsSource inner_;
  std::set<std::string_view> unread_;
};

/// What may belong to the document: all below its prefix but the sealing key; a record has the host's part
/// beside the executor's.
Pairs part_of(const Pairs& pairs, std::string_view prefix, bool is_record) {
  Pairs part = extraconfig::below(pairs, prefix);
  part.erase(std::string(extraconfig::kSealingKeyName));
  if (!is_record || !prefix.empty()) return part;
  for (const auto& pair : extraconfig::below(pairs, record::kHostPrefix)) part.erase(pair.first);
  return part;
}

/// Sets the document; tells of pairs that it does not take.
void decode_document(const Pairs& pairs, ConfigDocument& document, std::string_view prefix) {
  WatchedSource source(pairs);
  if (!extraconfig::decode(source, document.type(), document.value(), prefix, extraconfig::Absent::reset)) {
    throw Error(Code::not_found, "no pair is part of it: look at --type, --prefix and --scope");
  }
  if (source.unread().empty()) return;
  print_error(fmt::format("not read, as nothing names them: {} of the pairs, beginning with \"{}\"",
                          source.unread().size(), printable(*source.unread().begin(), 512)));
}

}  // namespace

int config_decode(Context& context, const Arguments& arguments) {
  ConfigOptions options;
  std::vector<std::string> files;
  Parser parser("berth config decode", "[OPTIONS] [FILE|-]",
                "Shows pairs, or those of a container's record, as a JSON document.");
  options.declare_type(parser);
  options.declare_scopes(parser);
  options.declare_secrets(parser, "Open sealed values with the key in this file");
  options.declare_container(parser, "The record of this container instead of a file");
  parser.positionals(files, 0, 1)
      .example("berth config decode --key-file key pairs.json")
      .example("berth config decode --container web --scope guest");
  if (const auto status = parser.parse(arguments, context.failure_status())) return *status;

  ConfigInput input;
  ConfigDocument document(options.type);
  const bool is_record = use_container(options, files);
  const std::string_view prefix = options.prefix_of(document);
  const Pairs all = is_record ? pairs_of_container(context, options) : input.read_pairs(input_name(files));
  std::optional<SealingKey> key = input.read_key(options);
  if (!key && options.secrets.empty()) key = stored_key(all);
  const Pairs wanted = filter_scopes(part_of(all, prefix, is_record), options);
  decode_document(open_secrets(wanted, key, options.secrets), document, prefix);
  print(describe::to_json(document.type(), document.value(), {.indent = true}));
  return 0;
}

}  // namespace berth::cli::command
