#include "extraconfig/key.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"
#include "extraconfig/calculate.hpp"
#include "extraconfig/map_keys.hpp"
#include "extraconfig/pairs.hpp"

namespace berth::extraconfig {
namespace {

using Texts = std::vector<std::string>;

/// How the keys of one map appear, in the order given.
Texts texts_of(const Texts& keys, MapValue value, bool read_write_style) {
  MapKeys entries;
  for (const std::string& key : keys) entries.add(key, &key);
  entries.settle(value, read_write_style);
  Texts texts;
  for (const std::string& key : keys) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries.mapped(i) == &key) texts.emplace_back(entries.text(i));
    }
  }
  return texts;
}

TEST(MapKeys, StandForThemselvesWhereTheyCan) {
  EXPECT_EQ(texts_of({"a", "10.0.0.1", "user@host"}, MapValue::rewritten, false),
            (Texts{"a", "10.0.0.1", "user@host"}));
  EXPECT_EQ(texts_of({"a.b", "a/b", "100%"}, MapValue::leaf, false), (Texts{"a.b", "a/b", "100%"}));
}

TEST(MapKeys, AreEscapedWhereTheyMeet) {
  EXPECT_EQ(texts_of({"a", "a.b", "c.d", "x"}, MapValue::rewritten, false),
            (Texts{"a", "%a%2Eb", "c.d", "x"}));
  EXPECT_EQ(texts_of({"a.b", "a/b"}, MapValue::rewritten, false), (Texts{"%a%2Eb", "%a%2Fb"}));
  EXPECT_EQ(texts_of({"u@x", "u@y"}, MapValue::rewritten, false), (Texts{"%u%40x", "%u%40y"}));
}

TEST(MapKeys, AreEscapedWhereTheyAreTorn) {
  EXPECT_EQ(texts_of({"", "a|b", "x@secret", "%a%7Cb"}, MapValue::leaf, false),
            (Texts{"%", "%a%7Cb", "%x%40secret", "%%25a%257Cb"}));
  EXPECT_EQ(texts_of({"a/b"}, MapValue::leaf, true), (Texts{"%a%2Fb"}));
  EXPECT_EQ(texts_of({"a~"}, MapValue::appended, false), (Texts{"%a%7E"}));
}

TEST(MapKeys, ComeBack) {
  for (const std::string text : {"", "a|b", "%", "%%", "%7C", "%a%7Cb", "a.b", "%%25", "x@secret", "~"}) {
    for (const auto value : {MapValue::leaf, MapValue::appended, MapValue::rewritten}) {
      EXPECT_EQ(unescape_map_key(texts_of({text}, value, true).front()), text);
    }
  }
  EXPECT_EQ(unescape_map_key("%7c"), "%7c");
  EXPECT_EQ(unescape_map_key("%home"), "%home");
}

TEST(Keys, ForeignPrefixesAreRefused) {
  EXPECT_THROW(check_prefix("guestinfo.vendor.area"), Error);
  EXPECT_THROW(check_prefix("guestinfo.vice."), Error);
  EXPECT_NO_THROW(check_prefix("guestinfo.vice./a"));
  EXPECT_NO_THROW(check_prefix("hidden/a"));
}

TEST(Keys, GuestRights) {
  EXPECT_TRUE(guest_writable("guestinfo.vice..a"));
  EXPECT_FALSE(guest_writable("guestinfo.vice./a"));
  EXPECT_FALSE(guest_visible("a.b"));
  EXPECT_EQ(scopes_of("a/b"), Scopes::hidden);
  EXPECT_EQ(scopes_of("guestinfo.vice./a@secret"), describe::scope::secret);
  EXPECT_TRUE(is_confidential("guestinfo.vice./a@non-persistent@secret"));
  EXPECT_TRUE(is_confidential(kSealingKeyName));
  EXPECT_FALSE(is_confidential("secret"));
}

TEST(Pairs, BelowTakesWholeParts) {
  const Pairs pairs = {{"it", "1"},
                       {"item", "2"},
                       {"it/a", "3"},
                       {"guestinfo.vice..it.b", "4"},
                       {"guestinfo.vice./it|x", "5"},
                       {"guestinfo.vice./item", "6"}};
  std::set<std::string> values;
  for (const auto& pair : below(pairs, "guestinfo.vice./it")) values.insert(pair.second);
  EXPECT_EQ(values, (std::set<std::string>{"1", "3", "4", "5"}));
}

TEST(Pairs, AFilteredSourceHasItsPart) {
  const Pairs pairs = {{"hidden", "1"}, {"guestinfo.vice./a", "2"}, {"guestinfo.vice./b@secret", "3"}};
  PairsSource all(pairs);
  FilterSource guest(all, kGuestScopes, Scopes::secret_only);
  EXPECT_EQ(guest.get("guestinfo.vice./a"), "2");
  EXPECT_EQ(guest.get("hidden"), std::nullopt);
  EXPECT_EQ(guest.get("guestinfo.vice./b@secret"), std::nullopt);
  EXPECT_FALSE(guest.any_below("c"));
}

TEST(CalculateKeys, QuotedPartsAndTypesAlone) {
  const std::map<std::string, std::vector<std::string>> map = {{"a.b", {"x", "y|z"}}, {"c", {"x"}}};
  EXPECT_EQ(calculate_keys(map, R"(["a.b"])", "m"), (Texts{"m|a.b"}));
  EXPECT_EQ(calculate_keys(map, R"(["a.b"][1])", "m"), (Texts{"m|a.b|1"}));
  EXPECT_EQ(calculate_keys(map, "c.0", "m"), (Texts{"m|c~"}));
  EXPECT_EQ(calculate_keys(map, "*", "m"), (Texts{"m|a.b", "m|c"}));
  EXPECT_EQ((calculate_key<std::map<std::string, std::string>>("any|key", "m")), "m|%any%7Ckey");
  EXPECT_THROW(calculate_keys(map, "c.7", "m"), Error);
  EXPECT_THROW(calculate_keys(map, "[\"c", "m"), Error);
  EXPECT_THROW(calculate_keys(map, "[c]x", "m"), Error);
}

}  // namespace
}  // namespace berth::extraconfig
