#include "tether/session/capabilities.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether {
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
}

}  // namespace
}  // namespace berth::tether
