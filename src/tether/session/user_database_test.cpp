#include "tether/session/user_database.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# a comment\n"
    "broken:x:notanumber:0::/:\n"
    "www-data:x:33:33::/var/www:/usr/sbin/nologin\n"
    "42:x:1042:1042::/home/number:\n"
    "homeless:x:7:8\n";
constexpr std::string_view kGroup =
    "root:x:0:\n"
    "www-data:x:33:\n"
    "staff:x:50:alice,www-data\n"
    "video:x:44:www-data\n"
    "broken\n";

User resolve(std::string_view user, std::string_view group = {}) {
  return resolve_user(user, group, kPasswd, kGroup);
}

std::string failure_of(std::string_view user, std::string_view group = {}) {
  try {
    resolve(user, group);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::invalid_argument);
    return error.what();
  }
  return "nothing";
}

TEST(UserDatabase, NobodyIsRoot) {
  EXPECT_EQ(resolve(""), (User{0, 0, {}, "/root"}));
}

TEST(UserDatabase, NameBringsItsGroupsAndHome) {
  EXPECT_EQ(resolve("www-data"), (User{33, 33, {50, 44}, "/var/www", "/usr/sbin/nologin"}));
}

TEST(UserDatabase, KnownNumberIsItsUser) {
  EXPECT_EQ(resolve("33"), (User{33, 33, {50, 44}, "/var/www", "/usr/sbin/nologin"}));
}

TEST(UserDatabase, UnknownNumberNeedsNoEntry) {
  EXPECT_EQ(resolve("4242"), (User{4242, 0, {}, "/"}));
}

TEST(UserDatabase, NumberIsNeverAName) {
  EXPECT_EQ(resolve("42").uid, 42u);
}

TEST(UserDatabase, ExplicitGroupReplacesTheOthers) {
  EXPECT_EQ(resolve("www-data:staff"), (User{33, 50, {}, "/var/www", "/usr/sbin/nologin"}));
  EXPECT_EQ(resolve("www-data", "staff"), (User{33, 50, {}, "/var/www", "/usr/sbin/nologin"}));
  EXPECT_EQ(resolve("1000:staff"), (User{1000, 50, {}, "/"}));
  EXPECT_EQ(resolve("0:0"), (User{0, 0, {}, "/root"}));
  EXPECT_EQ(resolve("root:1000"), (User{0, 1000, {}, "/root"}));
  EXPECT_EQ(resolve(":staff"), (User{0, 50, {}, "/root"}));
}

TEST(UserDatabase, EntryWithoutHomeLivesInTheRoot) {
  EXPECT_EQ(resolve("homeless"), (User{7, 8, {}, "/"}));
}

TEST(UserDatabase, NamesWhatIsMissingOrOutOfRange) {
  EXPECT_EQ(failure_of("ghost"), "unable to find user ghost: no matching entries in passwd file");
  EXPECT_EQ(failure_of("broken"), "unable to find user broken: no matching entries in passwd file");
  EXPECT_EQ(failure_of("root", "ghost"), "unable to find group ghost: no matching entries in group file");
  EXPECT_EQ(failure_of("8589934592"), "8589934592: uids and gids must be in range 0-2147483647");
  EXPECT_EQ(failure_of("root", "-100"), "-100: uids and gids must be in range 0-2147483647");
  EXPECT_EQ(failure_of("99999999999999999999"),
            "99999999999999999999: uids and gids must be in range 0-2147483647");
}

TEST(UserDatabase, EmptyFilesStillKnowRoot) {
  EXPECT_EQ(resolve_user("", "", "", ""), (User{0, 0, {}, "/"}));
}

TEST(UserDatabase, FurtherGroupsByNameOrNumberComeOnce) {
  User user = resolve("www-data");
  ASSERT_EQ(user.groups, (std::vector<gid_t>{50, 44}));
  add_groups(user, {"root", "staff", "1234"}, kGroup);
  EXPECT_EQ(user.groups, (std::vector<gid_t>{50, 44, 0, 1234}));
  EXPECT_THROW(add_groups(user, {"ghost"}, kGroup), Error);
}

}  // namespace
}  // namespace berth::tether
