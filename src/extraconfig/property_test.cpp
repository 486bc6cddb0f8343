#include <gtest/gtest.h>

#include <array>

#include "base/error.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/pair_table.hpp"
#include "extraconfig/property_types_test.hpp"
#include "extraconfig/random_value_test.hpp"
#include "extraconfig/seal.hpp"

/// Properties of the codec, for random values of every kind.
namespace berth::extraconfig {
namespace property_types {
namespace {

constexpr std::uint32_t kRounds = 400;

template <typename T>
class Properties : public testing::Test {};
using PropertyTypes = testing::Types<Everything, Nested>;
TYPED_TEST_SUITE(Properties, PropertyTypes);

TYPED_TEST(Properties, DecodingUndoesEncoding) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto value = RandomValue(seed).make<TypeParam>();
    const Pairs pairs = encode(value);
    TypeParam again;
    decode(pairs, again);
    ASSERT_EQ(describe::to_json(again), describe::to_json(value)) << "seed " << seed;
    ASSERT_EQ(again, value) << "seed " << seed;
    ASSERT_EQ(encode(again), pairs) << "seed " << seed;
  }
}

TEST(Property, HoldsBelowAPrefixToo) {
  for (const std::string prefix : {"a/b", "guestinfo.vice./x|y.z", "guestinfo.vice..p.q@secret"}) {
    for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
      const auto value = RandomValue(seed).make<Item>();
      Pairs pairs;
      encode(value, pairs, prefix);
      Item again;
      decode(pairs, again, prefix);
      ASSERT_EQ(again, value);
      ASSERT_EQ(below(pairs, prefix), pairs);
    }
  }
}

TYPED_TEST(Properties, StoringAgainLeavesNothingStale) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto first = RandomValue(seed).make<TypeParam>();
    const auto second = RandomValue(seed + kRounds).make<TypeParam>();
    Pairs stored = encode(first);
    Pairs copy = stored;
    const Difference difference = update(second, stored);
    ASSERT_EQ(stored, encode(second));
    extraconfig::apply(difference, copy);
    ASSERT_EQ(copy, stored);
    TypeParam value = first;
    decode(stored, value, {}, Absent::reset);
    ASSERT_EQ(value, second) << "seed " << seed;
  }
}

TEST(Property, StoringBelowAPrefixLeavesTheRest) {
  for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
    const Pairs others = {{"other/key", "1"}, {"guestinfo.vice./it", "2"}, {"guestinfo.vice./item/ID", "3"}};
    Pairs stored = others;
    update(RandomValue(seed).make<Nested>(), stored, "guestinfo.vice./items");
    const auto second = RandomValue(seed + 1).make<Nested>();
    update(second, stored, "guestinfo.vice./items");
    Pairs expected = others;
    encode(second, expected, "guestinfo.vice./items");
    ASSERT_EQ(stored, expected) << "seed " << seed;
  }
}

TYPED_TEST(Properties, ATableIsAsGoodAsPairs) {
  PairTable table;
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto value = RandomValue(seed).make<TypeParam>();
    table.clear();
    encode(value, table);
    ASSERT_EQ(table.to_pairs(), encode(value)) << "seed " << seed;
    ASSERT_EQ(decode_new<TypeParam>(table), value) << "seed " << seed;
  }
}

TYPED_TEST(Properties, NothingChangesWithoutData) {
  for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
    const auto value = RandomValue(seed).make<TypeParam>();
    TypeParam same = value;
    EXPECT_FALSE(decode(Pairs(), same));
    ASSERT_EQ(same, value);
    decode(Pairs(), same, {}, Absent::reset);
    ASSERT_EQ(same, TypeParam());
  }
}

TYPED_TEST(Properties, DamageIsRefusedOrRead) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    RandomValue random(seed);
    Pairs pairs = encode(random.make<TypeParam>());
    auto victim = std::next(pairs.begin(), static_cast<std::ptrdiff_t>(random.below(pairs.size())));
    const std::array<std::string, 8> texts = {"", "-1", "0", "5", "a|b", "99999999999999999999", "%", "x"};
    victim->second = texts[random.below(texts.size())];
    if (random.below(4) == 0) pairs.erase(victim);
    TypeParam value = RandomValue(seed + 1).make<TypeParam>();
    const TypeParam before = value;
    try {
      decode(pairs, value, {}, Absent::reset);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), Code::corrupt);
      ASSERT_EQ(value, before);
    }
  }
}

TYPED_TEST(Properties, SealedValuesAreOpened) {
  const SealingKey key = SealingKey::generate();
  for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
    const auto value = RandomValue(seed).make<TypeParam>();
    Pairs stored;
    PairsSink inner(stored);
    SealingSink sealing(inner, key, SealingSink::KeyEntry::leave_out);
    encode(value, sealing);
    bool any_secret = false;
    for (const auto& [name, text] : stored) {
      if (!is_secret(name)) continue;
      any_secret = true;
      ASSERT_EQ(key.open(text), encode(value).at(name));
    }
    PairsSource source(stored);
    OpeningSource opening(source, key);
    TypeParam again;
    decode(opening, again);
    ASSERT_EQ(again, value);
    OpeningSource wrong(source, SealingKey::generate());
    if (any_secret) {
      EXPECT_THROW(decode(wrong, again), Error);
    }
    EXPECT_EQ(again, value);
  }
}

TYPED_TEST(Properties, JsonIsUndoneToo) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto value = RandomValue(seed).make<TypeParam>();
    TypeParam again;
    describe::from_json(describe::to_json(value), again, describe::UnknownMembers::refuse);
    ASSERT_EQ(again, value) << describe::to_json(value);
    ASSERT_EQ(describe::to_json(again), describe::to_json(value));
  }
}

}  // namespace
}  // namespace property_types
}  // namespace berth::extraconfig
