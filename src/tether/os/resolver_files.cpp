#include "tether/os/resolver_files.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

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

/// Each of the image's lines, without the names that are given already.
std::string other_hosts(std::string_view image_file, const std::string& own) {
  std::set<std::string> taken;
  for (const std::string& line : split(own, '\n')) {
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

}  // namespace

std::string make_hosts_file(std::string_view hostname, std::string_view domain,
                            const std::vector<std::string>& addresses,
                            const std::map<std::string, std::string>& extra, std::string_view image_file) {
  std::string file(kFixedHosts);
  if (!hostname.empty()) {
    const std::string names =
        domain.empty() ? std::string(hostname) : fmt::format("{0}.{1} {0}", hostname, domain);
    if (addresses.empty()) file += fmt::format("127.0.1.1\t{}\n", names);
    for (const std::string& address : addresses) file += fmt::format("{}\t{}\n", address, names);
  }
  for (const auto& [name, address] : extra) file += fmt::format("{}\t{}\n", address, name);
  return file + other_hosts(image_file, file);
}

std::string make_resolver_file(const std::vector<std::string>& nameservers,
                               const std::vector<std::string>& search, std::string_view image_file) {
  if (nameservers.empty() && search.empty()) return std::string(image_file);
  std::string file;
  if (!search.empty()) file += fmt::format("search {}\n", join(search, " "));
  for (const std::string& server : nameservers) file += fmt::format("nameserver {}\n", server);
  return file;
}

}  // namespace berth::tether::os
