#include "config/capabilities.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::config {
namespace {

TEST(Capabilities, DefaultIsDockers) {
  EXPECT_EQ(default_capabilities(), 0xa80425fbu);
}

TEST(Capabilities, NamesWithAndWithoutPrefixInAnyCase) {
  EXPECT_EQ(parse_capabilities({"CAP_CHOWN", "net_raw", "Checkpoint_Restore"}),
            (CapabilitySet{1} << 0) | (CapabilitySet{1} << 13) | (CapabilitySet{1} << 40));
  EXPECT_EQ(parse_capabilities({}), 0u);
}

TEST(Capabilities, RefusesUnknownNames) {
  EXPECT_THROW(parse_capabilities({"CAP_EVERYTHING"}), Error);
  EXPECT_THROW(parse_capabilities({"ALL"}), Error);
  EXPECT_THROW(adjust_default_capabilities({"FLY"}, {}), Error);
  EXPECT_THROW(adjust_default_capabilities({}, {"ALL", "FLY"}), Error);
}

TEST(Capabilities, AreAddedAndDroppedAsDockerDoes) {
  const CapabilitySet chown = parse_capabilities({"CHOWN"});
  const CapabilitySet admin = parse_capabilities({"SYS_ADMIN"});
  EXPECT_EQ(adjust_default_capabilities({}, {}), default_capabilities());
  EXPECT_EQ(adjust_default_capabilities({"sys_admin"}, {"CAP_CHOWN"}),
            (default_capabilities() | admin) & ~chown);
  EXPECT_EQ(adjust_default_capabilities({"SYS_ADMIN"}, {"all"}), admin);
  EXPECT_EQ(adjust_default_capabilities({}, {"ALL"}), 0u);
  EXPECT_EQ(adjust_default_capabilities({"CAP_ALL"}, {"CHOWN"}), ((CapabilitySet{1} << 41) - 1) & ~chown);
  EXPECT_EQ(capability_names(chown | admin), (std::vector<std::string>{"CAP_CHOWN", "CAP_SYS_ADMIN"}));
}

}  // namespace
}  // namespace berth::config
