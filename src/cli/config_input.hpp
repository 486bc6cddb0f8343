#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/config_options.hpp"
#include "cli/context.hpp"
#include "extraconfig/seal.hpp"

namespace berth::cli {

/// Reads what the command line of `berth config` names. "-" is standard input, which is one thing only.
class ConfigInput {
 public:
  std::string read(const std::string& name);
  /// The key of --key-file, if it is there.
  std::optional<extraconfig::SealingKey> read_key(const ConfigOptions& options);
  /// Sets the document from JSON. Throws invalid-argument, with the path, for what it cannot have.
  void read_document(const std::string& name, ConfigDocument& document);
  /// The pairs of a JSON document.
  extraconfig::Pairs encode_document(const std::string& name, const ConfigOptions& options);
  extraconfig::Pairs read_pairs(const std::string& name);

 private:
  bool input_taken_ = false;
};

/// The file among the arguments, otherwise standard input.
std::string input_name(const std::vector<std::string>& files);

/// Whether --container stands for the file; throws invalid-argument when both are there.
bool use_container(const ConfigOptions& options, const std::vector<std::string>& files);
/// The pairs of --container's record, as they are stored.
extraconfig::Pairs pairs_of_container(Context& context, const ConfigOptions& options);

}  // namespace berth::cli
