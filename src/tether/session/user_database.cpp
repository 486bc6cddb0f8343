#include "tether/session/user_database.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether {
namespace {

constexpr std::int64_t kLargestId = 0x7fffffff;

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_number(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The id that a number of the user stands for; nothing when the text is a name.
std::optional<std::uint32_t> parse_requested_id(std::string_view text) {
  if (!is_number(text)) return std::nullopt;
  const auto value = parse_number(text);
  if (!value || *value < 0 || *value > kLargestId) {
    throw Error(Code::invalid_argument, "{}: uids and gids must be in range 0-{}", text, kLargestId);
  }
  return static_cast<std::uint32_t>(*value);
}

/// An id of a file's field; nothing when the entry is not usable.
std::optional<std::uint32_t> parse_entry_id(std::string_view text) {
  const auto value = parse_number(text);
  if (!value || *value < 0 || *value > kLargestId) return std::nullopt;
  return static_cast<std::uint32_t>(*value);
}

std::string_view take_until(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

template <std::size_t Count>
std::array<std::string_view, Count> split_fields(std::string_view line) {
  std::array<std::string_view, Count> fields;
  for (auto& field : fields) field = take_until(line, ':');
  return fields;
}

struct PasswdEntry {
  std::string_view name;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string_view home;
  std::string_view shell;
};

std::optional<PasswdEntry> parse_passwd_line(std::string_view line) {
  const auto [name, password, uid_text, gid_text, comment, home, shell] = split_fields<7>(line);
  const auto uid = parse_entry_id(uid_text);
  const auto gid = parse_entry_id(gid_text);
  if (name.empty() || !uid || !gid) return std::nullopt;
  return PasswdEntry{name, *uid, *gid, home, shell};
}

std::optional<PasswdEntry> find_passwd_entry(std::string_view file, std::string_view name,
                                             std::optional<std::uint32_t> uid) {
  while (!file.empty()) {
    const auto entry = parse_passwd_line(take_until(file, '\n'));
    if (entry && (uid ? entry->uid == *uid : entry->name == name)) return entry;
  }
  return std::nullopt;
}

bool lists_member(std::string_view members, std::string_view name) {
  while (!members.empty()) {
    if (take_until(members, ',') == name) return true;
  }
  return false;
}

template <typename Visit>
void for_each_group(std::string_view file, Visit visit) {
  while (!file.empty()) {
    const auto [name, password, gid_text, members] = split_fields<4>(take_until(file, '\n'));
    const auto gid = parse_entry_id(gid_text);
    if (!name.empty() && gid && !visit(name, *gid, members)) return;
  }
}

std::optional<std::uint32_t> find_group(std::string_view file, std::string_view wanted) {
  std::optional<std::uint32_t> found;
  for_each_group(file, [&](std::string_view name, std::uint32_t gid, std::string_view) {
    if (name != wanted) return true;
    found = gid;
    return false;
  });
  return found;
}

gid_t require_group(std::string_view file, std::string_view group) {
  const auto number = parse_requested_id(group);
  const auto gid = number ? number : find_group(file, group);
  if (!gid) {
    throw Error(Code::invalid_argument, "unable to find group {}: no matching entries in group file", group);
  }
  return *gid;
}

std::vector<gid_t> supplementary_groups(std::string_view file, std::string_view user) {
  // setgroups(2) takes no more than this.
  constexpr std::size_t kMostGroups = 65536;
  std::vector<gid_t> groups;
  for_each_group(file, [&](std::string_view, std::uint32_t gid, std::string_view members) {
    if (lists_member(members, user)) groups.push_back(gid);
    return groups.size() < kMostGroups;
  });
  return groups;
}

/// Only a regular file counts, so that a FIFO or a device of the image cannot hold up the caller.
std::string read_database(const char* path) {
  UniqueFd fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  try {
    return read_all(fd.get(), kUserDatabaseLimit);
  } catch (Error& error) {
    error.add_context(fmt::format("read {} of the container", path));
    throw;
  }
}

}  // namespace

User resolve_user(std::string_view user, std::string_view group, std::string_view passwd_file,
                  std::string_view group_file) {
  if (const std::size_t colon = user.find(':'); colon != std::string_view::npos && group.empty()) {
    group = user.substr(colon + 1);
    user = user.substr(0, colon);
  }
  const auto uid = user.empty() ? std::optional<std::uint32_t>(0) : parse_requested_id(user);
  const auto entry = find_passwd_entry(passwd_file, user, uid);
  if (!entry && !uid) {
    throw Error(Code::invalid_argument, "unable to find user {}: no matching entries in passwd file", user);
  }
  User resolved;
  resolved.uid = entry ? entry->uid : *uid;
  resolved.gid = entry ? entry->gid : 0;
  if (entry && !entry->home.empty()) resolved.home = entry->home;
  if (entry && !entry->shell.empty()) resolved.shell = entry->shell;
  if (group.empty()) {
    if (entry) resolved.groups = supplementary_groups(group_file, entry->name);
    return resolved;
  }
  resolved.gid = require_group(group_file, group);
  return resolved;
}

void add_groups(User& user, const std::vector<std::string>& groups, std::string_view group_file) {
  for (const std::string& group : groups) {
    const gid_t gid = require_group(group_file, group);
    if (std::find(user.groups.begin(), user.groups.end(), gid) == user.groups.end())
      user.groups.push_back(gid);
  }
}

void add_groups(User& user, const std::vector<std::string>& groups) {
  if (!groups.empty()) add_groups(user, groups, read_database("/etc/group"));
}

User resolve_user(std::string_view user, std::string_view group) {
  return resolve_user(user, group, read_database("/etc/passwd"), read_database("/etc/group"));
}

}  // namespace berth::tether
