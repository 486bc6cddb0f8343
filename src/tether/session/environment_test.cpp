#include "tether/session/environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::tether {
namespace {

using testing::ElementsAre;

TEST(Environment, HasDockersDefaults) {
  EXPECT_THAT(make_environment({}, {"pod", "/root", false}),
              ElementsAre("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=pod",
                          "HOME=/root"));
}

TEST(Environment, TerminalBringsTerm) {
  EXPECT_EQ(find_variable(make_environment({}, {"pod", "/", true}), "TERM"), "xterm");
  EXPECT_EQ(find_variable(make_environment({"TERM=dumb"}, {"pod", "/", true}), "TERM"), "dumb");
}

TEST(Environment, ConfiguredEntriesWinAndTheLastOfAName) {
  EXPECT_THAT(make_environment({"HOME=/x", "A=1", "PATH=/bin", "A=2=3"}, {"pod", "/root", false}),
              ElementsAre("PATH=/bin", "HOSTNAME=pod", "HOME=/x", "A=2=3"));
}

TEST(Environment, EntriesWithoutANameOrAValueAreLeftOut) {
  EXPECT_THAT(make_environment({"=x", "NAME", "EMPTY="}, {"pod", "/", false}),
              ElementsAre(testing::_, testing::_, testing::_, "EMPTY="));
}

TEST(Environment, MissingVariableIsEmpty) {
  EXPECT_EQ(find_variable({"AB=1"}, "A"), "");
}

}  // namespace
}  // namespace berth::tether
