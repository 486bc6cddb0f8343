#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace berth::tether {

/// Largest passwd or group file that is looked at, in bytes.
inline constexpr std::size_t kUserDatabaseLimit = 4u << 20;

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  ///< supplementary
  std::string home = "/";
  std::string shell = "/bin/sh";

  bool operator==(const User&) const = default;
};

/// Resolves what Docker accepts for --user against a container's passwd(5) and group(5): names or numbers,
/// either part may be empty, and `user` may hold both as "user:group". A number needs no entry; a name does.
/// Without a group the user's own and supplementary groups count. Lines that cannot be parsed are passed
/// over. Throws invalid-argument naming what is not there or out of range.
User resolve_user(std::string_view user, std::string_view group, std::string_view passwd_file,
                  std::string_view group_file);

/// As above with /etc/passwd and /etc/group of the caller's root; a missing file counts as empty.
User resolve_user(std::string_view user, std::string_view group);

/// Adds supplementary groups, each by name or number, that the user does not have yet. Throws likewise.
void add_groups(User& user, const std::vector<std::string>& groups, std::string_view group_file);
void add_groups(User& user, const std::vector<std::string>& groups);

}  // namespace berth::tether
