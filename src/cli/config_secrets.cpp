#include "cli/config_secrets.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

std::vector<std::string> confidential_keys(const Pairs& pairs) {
  std::vector<std::string> keys;
  for (const auto& pair : pairs) {
    if (extraconfig::is_confidential(pair.first)) keys.push_back(pair.first);
  }
  return keys;
}

/// The first of the keys, and how many more there are.
std::string list_keys(const std::vector<std::string>& keys) {
  constexpr std::size_t kShown = 8;
  std::string text;
  for (std::size_t i = 0; i < keys.size() && i < kShown; ++i) {
    text += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", printable(keys[i], 512));
  }
  if (keys.size() > kShown) text += fmt::format(" and {} more", keys.size() - kShown);
  return text;
}

void check_choice(const std::optional<SealingKey>& key, const std::string& secrets) {
  if (!secrets.empty() && secrets != "omit" && secrets != "plain") {
    throw Error(Code::invalid_argument, "--secrets '{}': use omit or plain", printable(secrets));
  }
  if (key && !secrets.empty()) {
    throw Error(Code::invalid_argument, "--key-file and --secrets exclude each other");
  }
}

/// Without a sealing key.
Pairs choose_secrets(const Pairs& pairs, const std::string& secrets) {
  const std::vector<std::string> keys = confidential_keys(pairs);
  if (!keys.empty() && secrets.empty()) {
    throw Error(Code::invalid_argument,
                "values are secret and there is no sealing key: {}: use --key-file FILE, --secrets omit or "
                "--secrets plain",
                list_keys(keys));
  }
  Pairs chosen = pairs;
  if (secrets == "omit")
    std::erase_if(chosen, [](const auto& pair) { return extraconfig::is_confidential(pair.first); });
  return chosen;
}

}  // namespace

Pairs protect_secrets(const Pairs& pairs, const std::optional<SealingKey>& key, const std::string& secrets) {
  check_choice(key, secrets);
  if (!key) return choose_secrets(pairs, secrets);
  Pairs sealed;
  extraconfig::PairsSink sink(sealed);
  extraconfig::SealingSink sealing(sink, *key, extraconfig::SealingSink::KeyEntry::leave_out);
  for (const auto& [name, value] : pairs) sealing.put(name, value);
  return sealed;
}

Pairs open_secrets(const Pairs& pairs, const std::optional<SealingKey>& key, const std::string& secrets) {
  check_choice(key, secrets);
  if (!key) return choose_secrets(pairs, secrets);
  Pairs opened = pairs;
  std::vector<std::string> damaged;
  for (auto& [name, value] : opened) {
    if (!extraconfig::is_secret(name)) continue;
    if (auto text = key->open(value)) {
      value = *std::move(text);
    } else {
      damaged.push_back(name);
    }
  }
  if (!damaged.empty()) {
    throw Error(Code::corrupt, "sealed values are damaged or belong to another sealing key: {}",
                list_keys(damaged));
  }
  return opened;
}

std::optional<SealingKey> stored_key(const Pairs& pairs) {
  extraconfig::PairsSource source(pairs);
  return extraconfig::OpeningSource(source, std::nullopt).key();
}

void write_new_key(const std::string& file) {
  const UniqueFd fd = open_file(file, O_WRONLY | O_CREAT | O_EXCL, 0600);
  try {
    write_all(fd.get(), SealingKey::generate().to_string() + "\n");
  } catch (Error& error) {
    ::unlink(file.c_str());
    error.add_context("write " + file);
    throw;
  }
}

}  // namespace berth::cli
