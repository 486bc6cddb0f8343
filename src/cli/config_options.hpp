#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config_document.hpp"
#include "cli/parser.hpp"
#include "extraconfig/pairs.hpp"

namespace berth::cli {

/// Options that the subcommands of `berth config` share; each declares those it has.
struct ConfigOptions {
  std::string type = "executor";
  std::optional<std::string> prefix;
  std::vector<std::string> scopes;
  std::vector<std::string> not_scopes;
  std::string key_file;
  std::string secrets;  ///< empty, "omit" or "plain"
  std::string container;

  void declare_type(Parser& parser);
  void declare_scopes(Parser& parser);
  void declare_secrets(Parser& parser, std::string key_help);
  void declare_container(Parser& parser, std::string help);

  /// The prefix asked for, otherwise the one that the type has in records.
  std::string_view prefix_of(const ConfigDocument& document) const;
};

/// The pairs with any of the scopes asked for (all when there are none) and none of the unwanted. Throws
/// invalid-argument for a word that is no scope of a key.
extraconfig::Pairs filter_scopes(const extraconfig::Pairs& pairs, const ConfigOptions& options);

}  // namespace berth::cli
