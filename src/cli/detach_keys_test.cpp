#include "cli/detach_keys.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

TEST(DetachKeys, SpellsControlKeysAndCharacters) {
  EXPECT_EQ(parse_detach_keys("ctrl-p,ctrl-q"), "\x10\x11");
  EXPECT_EQ(parse_detach_keys("a,ctrl-@,ctrl-[,ctrl-_"), std::string("a\0\x1b\x1f", 4));
  EXPECT_EQ(parse_detach_keys(""), "");
}

TEST(DetachKeys, RefusesWhatIsNoKey) {
  for (const char* text : {"ctrl-", "ctrl-1", "ab", "ctrl-p,,a", "ctrl-pp", "alt-x"}) {
    EXPECT_THROW(parse_detach_keys(text), Error) << text;
  }
}

struct Outcome {
  std::string passed;
  bool detached = false;
};

Outcome type(const std::string& keys, const std::vector<std::string>& pieces) {
  DetachFilter filter(keys);
  Outcome outcome;
  for (const std::string& piece : pieces) {
    outcome.detached = filter.filter(piece, outcome.passed);
    if (outcome.detached) break;
  }
  return outcome;
}

TEST(DetachFilter, FindsTheSequenceAcrossReads) {
  const Outcome outcome = type("\x10\x11", {"ls\n\x10", "\x11rest"});
  EXPECT_TRUE(outcome.detached);
  EXPECT_EQ(outcome.passed, "ls\n");
}

TEST(DetachFilter, PassesWhatOnlyBeganLikeIt) {
  const Outcome outcome = type("\x10\x11", {"\x10", "a\x11"});
  EXPECT_FALSE(outcome.detached);
  EXPECT_EQ(outcome.passed,
            "\x10"
            "a\x11");
}

TEST(DetachFilter, ARepeatedFirstKeyStillCounts) {
  EXPECT_EQ(type("\x10\x11", {"\x10\x10\x11"}).passed, "\x10");
  EXPECT_TRUE(type("\x10\x11", {"\x10\x10\x11"}).detached);
  EXPECT_TRUE(type("aab", {"aaab"}).detached);
  EXPECT_EQ(type("aab", {"aaab"}).passed, "a");
  EXPECT_EQ(type("abac", {"ababac"}).passed, "ab");
}

TEST(DetachFilter, NothingDetachesWithoutKeys) {
  EXPECT_FALSE(type("", {"\x10\x11"}).detached);
  EXPECT_EQ(type("", {"\x10\x11"}).passed, "\x10\x11");
}

}  // namespace
}  // namespace berth::cli
