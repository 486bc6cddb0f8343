#include "cli/config_options.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

using extraconfig::Scopes;

struct ScopeWord {
  std::string_view word;
  Scopes scopes;
};

constexpr ScopeWord kScopeWords[] = {
    {"guest", extraconfig::kGuestScopes}, {"hidden", Scopes::hidden},
    {"read-only", Scopes::read_only},     {"read-write", Scopes::read_write},
    {"secret", Scopes::secret_only},      {"non-persistent", Scopes::non_persistent},
};
constexpr std::string_view kScopeList = "guest, hidden, read-only, read-write, secret or non-persistent";

Scopes parse_scopes(const std::vector<std::string>& words, std::string_view option) {
  Scopes scopes = Scopes::none;
  for (const std::string& word : words) {
    const auto found = std::find_if(std::begin(kScopeWords), std::end(kScopeWords),
                                    [&](const ScopeWord& known) { return known.word == word; });
    if (found == std::end(kScopeWords)) {
      throw Error(Code::invalid_argument, "{} '{}': use {}", option, printable(word), kScopeList);
    }
    scopes = scopes | found->scopes;
  }
  return scopes;
}

}  // namespace

void ConfigOptions::declare_type(Parser& parser) {
  parser
      .value("--type", "executor|appliance|host", type,
             "A container's machine (unless told otherwise), the appliance, or what a record has of the host")
      .value("--prefix", "KEY", prefix, "The key below which everything is");
}

void ConfigOptions::declare_scopes(Parser& parser) {
  parser
      .list("--scope", "SCOPE", scopes,
            "Only these: guest (what a guest sees), hidden, read-only, read-write, secret or non-persistent")
      .list("--not-scope", "SCOPE", not_scopes, "All but these");
}

void ConfigOptions::declare_secrets(Parser& parser, std::string key_help) {
  parser.value("--key-file", "FILE", key_file, std::move(key_help))
      .value("--secrets", "omit|plain", secrets,
             "Without a key: leave secret values out, or take them as they are");
}

void ConfigOptions::declare_container(Parser& parser, std::string help) {
  parser.value("--container", "CONTAINER", container, std::move(help));
}

std::string_view ConfigOptions::prefix_of(const ConfigDocument& document) const {
  return prefix ? std::string_view(*prefix) : document.prefix();
}

extraconfig::Pairs filter_scopes(const extraconfig::Pairs& pairs, const ConfigOptions& options) {
  const Scopes wanted =
      options.scopes.empty() ? extraconfig::kAnyScope : parse_scopes(options.scopes, "--scope");
  return extraconfig::filter(pairs, wanted, parse_scopes(options.not_scopes, "--not-scope"));
}

}  // namespace berth::cli
