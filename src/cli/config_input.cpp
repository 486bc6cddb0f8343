#include "cli/config_input.hpp"

#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/pairs_text.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"

namespace berth::cli {
namespace {

constexpr std::string_view kStandardInput = "-";

std::string shown(const std::string& name) {
  return name == kStandardInput ? "standard input" : printable(name);
}

/// Says which input an error is about.
template <typename Action>
auto reading(const std::string& name, Action action) {
  try {
    return action();
  } catch (Error& error) {
    error.add_context("read " + shown(name));
    throw;
  }
}

}  // namespace

std::string ConfigInput::read(const std::string& name) {
  if (name != kStandardInput) return read_file(name);
  if (std::exchange(input_taken_, true)) {
    throw Error(Code::invalid_argument, "standard input cannot be two things: name a file for one of them");
  }
  return read_all(STDIN_FILENO);
}

std::optional<extraconfig::SealingKey> ConfigInput::read_key(const ConfigOptions& options) {
  if (options.key_file.empty()) return std::nullopt;
  std::string text = read(options.key_file);
  return reading(options.key_file, [&] { return extraconfig::SealingKey::parse(trim(text)); });
}

void ConfigInput::read_document(const std::string& name, ConfigDocument& document) {
  const std::string text = read(name);
  reading(name, [&] {
    describe::from_json(text, document.type(), document.value(), describe::UnknownMembers::refuse);
  });
}

extraconfig::Pairs ConfigInput::encode_document(const std::string& name, const ConfigOptions& options) {
  ConfigDocument document(options.type);
  read_document(name, document);
  extraconfig::Pairs pairs;
  extraconfig::PairsSink sink(pairs);
  extraconfig::encode(document.type(), document.value(), sink, options.prefix_of(document));
  return pairs;
}

extraconfig::Pairs ConfigInput::read_pairs(const std::string& name) {
  const std::string text = read(name);
  return reading(name, [&] { return pairs_from_text(text); });
}

std::string input_name(const std::vector<std::string>& files) {
  return files.empty() ? std::string(kStandardInput) : files.front();
}

bool use_container(const ConfigOptions& options, const std::vector<std::string>& files) {
  if (options.container.empty()) return false;
  if (files.empty()) return true;
  throw Error(Code::invalid_argument, "--container and a file exclude each other");
}

extraconfig::Pairs pairs_of_container(Context& context, const ConfigOptions& options) {
  return context.engine().records().pairs(options.container);
}

}  // namespace berth::cli
