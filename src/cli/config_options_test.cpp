#include "cli/config_options.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"

namespace berth::cli {
namespace {

using extraconfig::Pairs;

std::set<std::string> values_of(std::vector<std::string> scopes, std::vector<std::string> not_scopes = {}) {
  const Pairs pairs = {{"a/hidden", "hidden"},
                       {"guestinfo.vice./a", "ro"},
                       {"guestinfo.vice..a", "rw"},
                       {"guestinfo.vice./a@secret", "secret"},
                       {"guestinfo.vice..a@non-persistent", "np"}};
  ConfigOptions options;
  options.scopes = std::move(scopes);
  options.not_scopes = std::move(not_scopes);
  std::set<std::string> values;
  for (const auto& pair : filter_scopes(pairs, options)) values.insert(pair.second);
  return values;
}

using Values = std::set<std::string>;

TEST(ConfigScopes, SelectPairs) {
  EXPECT_EQ(values_of({}), (Values{"hidden", "ro", "rw", "secret", "np"}));
  EXPECT_EQ(values_of({"guest"}), (Values{"ro", "rw", "secret", "np"}));
  EXPECT_EQ(values_of({"hidden"}), (Values{"hidden"}));
  EXPECT_EQ(values_of({"read-only"}), (Values{"ro", "secret"}));
  EXPECT_EQ(values_of({"secret", "non-persistent"}), (Values{"secret", "np"}));
  EXPECT_EQ(values_of({}, {"guest"}), (Values{"hidden"}));
  EXPECT_EQ(values_of({"guest"}, {"secret", "read-write"}), (Values{"ro"}));
}

TEST(ConfigScopes, OthersAreRefused) {
  EXPECT_THROW(values_of({"volatile"}), Error);
  EXPECT_THROW(values_of({}, {""}), Error);
}

}  // namespace
}  // namespace berth::cli
