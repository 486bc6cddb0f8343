#include "extraconfig/pair_table.hpp"

#include <gtest/gtest.h>

namespace berth::extraconfig {
namespace {

TEST(PairTable, HasWhatPairsHave) {
  PairTable table;
  Pairs pairs;
  EXPECT_EQ(table.get("a"), std::nullopt);
  EXPECT_FALSE(table.any_below(""));
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i * 7919 % 500);
    const std::string value(static_cast<std::size_t>(i % 40), 'v');
    table.put(key, value);
    pairs[key] = value;
  }
  EXPECT_EQ(table.size(), pairs.size());
  EXPECT_EQ(table.to_pairs(), pairs);
  for (const auto& [key, value] : pairs) EXPECT_EQ(table.get(key), value);
  EXPECT_EQ(table.get("key500"), std::nullopt);
}

TEST(PairTable, KnowsWhatIsBelowAKey) {
  PairTable table;
  table.put("b/c", "1");
  table.put("", "2");
  EXPECT_TRUE(table.any_below("b"));
  EXPECT_TRUE(table.any_below("b/c"));
  EXPECT_FALSE(table.any_below("b/c/"));
  EXPECT_FALSE(table.any_below("a"));
  table.put("a/", "3");
  EXPECT_TRUE(table.any_below("a"));
}

TEST(PairTable, IsEmptyWhenCleared) {
  PairTable table;
  table.put("a", "1");
  table.clear();
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.get("a"), std::nullopt);
  EXPECT_FALSE(table.any_below("a"));
  table.put("a", "2");
  EXPECT_EQ(table.to_pairs(), (Pairs{{"a", "2"}}));
}

}  // namespace
}  // namespace berth::extraconfig
