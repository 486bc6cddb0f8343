#include "tether/os/resolver_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace berth::tether::os {
namespace {

constexpr std::string_view kFixedHosts =
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n";

constexpr std::string_view kBegin = "# berth: begin, kept up to date\n";
constexpr std::string_view kEnd = "# berth: end\n";

/// The words of a line, without its comment.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : fmt::format("{} ", line.substr(0, line.find('#')))) {
    if (c != ' ' && c != '\t' && c != '\r') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  return words;
}

bool is_word(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(),
                                       [](unsigned char c) { return c <= ' ' || c == 0x7f || c == '#'; });
}

void add_host(std::string& file, std::string_view address, std::string_view name) {
  if (is_word(address) && is_word(name)) file += fmt::format("{}\t{}\n", address, name);
}

std::vector<std::string> words_only(std::vector<std::string> texts) {
  std::erase_if(texts, [](const std::string& text) { return !is_word(text); });
  return texts;
}

}  // namespace

std::string make_hosts(const NameSettings& settings) {
  std::string file(kFixedHosts);
  if (is_word(settings.hostname)) {
    const std::string names = is_word(settings.domain)
                                  ? fmt::format("{0}.{1} {0}", settings.hostname, settings.domain)
                                  : settings.hostname;
    const std::vector<std::string> local{"127.0.1.1", "::1"};
    for (const std::string& address : settings.addresses.empty() ? local : settings.addresses)
      file += fmt::format("{}\t{}\n", address, names);
  }
  for (const auto& [name, address] : settings.network_names) add_host(file, address, name);
  for (const auto& [name, addresses] : settings.extra_hosts) {
    for (const std::string& address : words_of(addresses)) add_host(file, address, name);
  }
  return file;
}

std::string make_resolver(const NameSettings& settings) {
  std::string file;
  const std::vector<std::string> search = words_only(settings.search);
  const std::vector<std::string> options = words_only(settings.options);
  if (!search.empty()) file += fmt::format("search {}\n", join(search, " "));
  for (const std::string& server : words_only(settings.nameservers))
    file += fmt::format("nameserver {}\n", server);
  if (!options.empty()) file += fmt::format("options {}\n", join(options, " "));
  return file;
}

std::string rest_of_hosts(std::string_view image_file, std::string_view ours) {
  std::set<std::string> taken;
  for (const std::string& line : split(ours, '\n')) {
    const auto words = words_of(line);
    for (std::size_t i = 1; i < words.size(); ++i) taken.insert(words[i]);
  }
  std::string kept;
  for (const std::string& line : split(image_file, '\n')) {
    const auto words = words_of(line);
    std::string names;
    for (std::size_t i = 1; i < words.size(); ++i) {
      if (!taken.contains(words[i])) names += (names.empty() ? "" : " ") + words[i];
    }
    if (!names.empty()) kept += fmt::format("{}\t{}\n", words[0], names);
  }
  return kept;
}

std::string rest_of_resolver(std::string_view image_file, std::string_view ours) {
  std::set<std::string> taken;
  for (const std::string& line : split(ours, '\n')) {
    const auto words = words_of(line);
    if (!words.empty()) taken.insert(words[0] == "search" ? "domain" : words[0]);
  }
  std::string kept;
  for (const std::string& line : split(image_file, '\n')) {
    const auto words = words_of(line);
    if (words.empty()) continue;
    if (!taken.contains(words[0] == "search" ? "domain" : words[0])) kept += line + "\n";
  }
  return kept;
}

std::string blend(std::string_view file, std::string_view ours) {
  std::string before;
  std::string_view after = file;
  const std::size_t begin = file.find(kBegin);
  const std::size_t end = begin == std::string_view::npos ? begin : file.find(kEnd, begin);
  if (end != std::string_view::npos) {
    before = file.substr(0, begin);
    after = file.substr(end + kEnd.size());
  } else if (ours.empty()) {
    return std::string(file);
  }
  return fmt::format("{}{}{}{}{}", before, kBegin, ours, kEnd, after);
}

}  // namespace berth::tether::os
