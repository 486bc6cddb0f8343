#include "config/nfs.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "config/network_types.hpp"

namespace berth::config {
namespace {

constexpr std::size_t kTextLimit = 1024;
constexpr std::size_t kNameLimit = 253;
/// Below a page, which is what the kernel's mount(2) takes together with our words.
constexpr std::size_t kPathLimit = 1024;

constexpr std::string_view kFlags[] = {
    "hard",       "soft",         "softerr",    "ac",         "noac",   "cto",        "nocto",
    "acl",        "noacl",        "rdirplus",   "nordirplus", "nolock", "sharecache", "resvport",
    "noresvport", "nosharecache", "exec",       "noexec",     "suid",   "nosuid",     "nodev",
    "atime",      "noatime",      "nodiratime", "relatime",   "sync",   "async",
};

struct Number {
  std::string_view name;
  std::int64_t least;
  std::int64_t most;
};

constexpr Number kNumbers[] = {
    {"rsize", 1024, 1 << 20}, {"wsize", 1024, 1 << 20}, {"timeo", 1, 6000},       {"retrans", 0, 100},
    {"acregmin", 0, 86'400},  {"acregmax", 0, 86'400},  {"acdirmin", 0, 86'400},  {"acdirmax", 0, 86'400},
    {"actimeo", 0, 86'400},   {"nconnect", 1, 16},      {"mountport", 1, 65'535},
};

struct Choice {
  std::string_view name;
  std::string_view value;
};

constexpr Choice kChoices[] = {
    {"lookupcache", "all"},      {"lookupcache", "none"}, {"lookupcache", "pos"},
    {"lookupcache", "positive"}, {"local_lock", "none"},  {"local_lock", "all"},
    {"local_lock", "flock"},     {"local_lock", "posix"}, {"sec", "sys"},
};

Error bad_option(std::string_view word, std::string_view why) {
  return Error(Code::invalid_argument, "the NFS option '{}' {}", printable(word, 100), why);
}

std::string version_of(std::string_view word, std::string_view value) {
  if (value == "4") return {};
  for (const char* known : {"3", "4.0", "4.1", "4.2"}) {
    if (value == known) return std::string(value);
  }
  throw bad_option(word, "is no version: use 4.2, 4.1, 4.0 or 3");
}

bool is_known_flag(std::string_view word) {
  return std::find(std::begin(kFlags), std::end(kFlags), word) != std::end(kFlags);
}

/// Throws unless it is one that the kernel's client takes.
void check_value(std::string_view word, std::string_view name, std::string_view value) {
  for (const Number& number : kNumbers) {
    if (number.name != name) continue;
    parse_integer(value, number.least, number.most, fmt::format("the NFS option {}", name));
    return;
  }
  bool known = false;
  for (const Choice& choice : kChoices) {
    if (choice.name != name) continue;
    if (choice.value == value) return;
    known = true;
  }
  if (name == "sec")
    throw Error(Code::unsupported, "the NFS option '{}' cannot be: there is sec=sys only",
                printable(word, 100));
  throw bad_option(word, known ? "has a value that there is not" : "is not known, or not to be chosen here");
}

void take_option(std::string_view word, NfsOptions& options) {
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : word.substr(equals + 1);
  if (name == "addr" && equals != std::string_view::npos) {
    check_nfs_server(value);
    options.address = value;
  } else if (name == "vers" || name == "nfsvers") {
    options.version = version_of(word, value);
  } else if (name == "port") {
    options.port = static_cast<std::uint16_t>(parse_integer(value, 1, 65'535, "the NFS option port"));
  } else if (word == "ro" || word == "rw") {
    options.read_only = word == "ro";
  } else if (name == "proto" || name == "mountproto") {
    if (value != "tcp") throw bad_option(word, "cannot be: NFS goes over tcp");
  } else {
    if (!is_known_flag(word)) check_value(word, name, value);
    options.rest += (options.rest.empty() ? "" : ",") + std::string(word);
  }
}

}  // namespace

NfsOptions parse_nfs_options(std::string_view text) {
  if (text.size() > kTextLimit)
    throw Error(Code::invalid_argument, "the NFS options are longer than {} characters", kTextLimit);
  NfsOptions options;
  for (const std::string& word : split(text, ',')) {
    if (!word.empty()) take_option(word, options);
  }
  return options;
}

void check_nfs_path(std::string_view path) {
  if (path.starts_with('/') && path.size() <= kPathLimit && printable(path) == path) return;
  throw Error(Code::invalid_argument, "'{}' is no export of an NFS server: use an absolute path",
              printable(path, 100));
}

void check_nfs_server(std::string_view server) {
  const auto is_part_of_a_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  IpAddress address;
  if (address.set_text(std::string(server)) && !address.empty()) return;
  if (!server.empty() && server.size() <= kNameLimit && server.front() != '-' && server.front() != '.' &&
      std::all_of(server.begin(), server.end(), is_part_of_a_name))
    return;
  throw Error(Code::invalid_argument, "'{}' is neither the name nor the address of an NFS server",
              printable(server, 100));
}

}  // namespace berth::config
