#include <gtest/gtest.h>

#include <array>
#include <variant>

#include "base/error.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/random_value_test.hpp"
#include "extraconfig/seal.hpp"

/// Properties of the codec, for random values of every kind.
namespace berth::extraconfig {
namespace property_types {

namespace scope = describe::scope;
using describe::EnumeratorOf;
using describe::field;
using describe::fields;

enum class Colour { red, green = 5 };
constexpr auto describe(const Colour*) {
  return describe::enumerators(EnumeratorOf{"red", Colour::red}, EnumeratorOf{"green", Colour::green});
}

struct Item {
  std::string id;
  std::int64_t count = 0;
  std::string note;
  std::optional<std::vector<std::string>> words;
  bool operator==(const Item&) const = default;
};
constexpr auto describe(const Item*) {
  return fields(field<&Item::id>("ID", "id", scope::read_only),
                field<&Item::count>("Count", "count", scope::read_write),
                field<&Item::note>("Note", "note", scope::hidden), field<&Item::words>("Words"));
}

/// Writes nothing when it is empty.
struct Quiet {
  std::vector<std::string> list;
  std::map<std::string, std::string> map;
  bool operator==(const Quiet&) const = default;
};
constexpr auto describe(const Quiet*) {
  return fields(field<&Quiet::list>("List"), field<&Quiet::map>("Map"));
}

struct Node {
  std::string name;
  describe::Box<Node> next;
  bool operator==(const Node&) const = default;
};
constexpr auto describe(const Node*) {
  return fields(field<&Node::name>("Name"), field<&Node::next>("Next"));
}

using Choice = std::variant<Item, std::string, std::vector<std::string>>;
constexpr auto describe(const Choice*) {
  return describe::alternatives("item", "text", "texts");
}

struct Everything {
  bool truth = false;
  std::int8_t small = 0;
  std::uint64_t large = 0;
  double ratio = 0;
  float narrow = 0;
  std::string text;
  Colour colour = Colour::red;
  describe::Bytes blob;
  describe::Time time;
  std::chrono::nanoseconds wait{};
  std::vector<std::string> texts;
  std::vector<std::uint16_t> ports;
  std::vector<Item> items;
  std::vector<std::optional<Item>> maybe_items;
  std::vector<std::optional<std::string>> maybe_texts;
  std::vector<describe::Bytes> blobs;
  std::vector<std::vector<std::string>> lists;
  std::vector<std::map<std::string, int>> maps;
  std::array<int, 2> pair{};
  std::map<std::string, std::string> strings;
  std::map<std::string, Item> item_map;
  std::map<std::string, Item> writable_items;
  std::map<int, std::optional<Item>> numbered;
  std::map<double, bool> flags;
  std::map<Colour, std::uint32_t> colours;
  std::map<std::string, std::vector<std::string>> list_map;
  std::map<std::string, std::map<std::string, Item>> map_map;
  std::optional<Quiet> quiet;
  std::optional<describe::Bytes> maybe_blob;
  std::optional<std::map<std::string, std::string>> maybe_map;
  describe::Box<Node> node;
  Choice choice;
  std::vector<Choice> choices;
  std::string secret;
  std::map<std::string, std::string> secrets;
  bool operator==(const Everything&) const = default;
};

constexpr auto describe(const Everything*) {
  using E = Everything;
  constexpr auto ro = scope::read_only;
  constexpr auto rw = scope::read_write;
  return fields(
      field<&E::truth>("Truth", "truth", ro), field<&E::small>("Small", "small", rw),
      field<&E::large>("Large"), field<&E::ratio>("Ratio", "ratio", scope::hidden),
      field<&E::narrow>("Narrow", "narrow", ro), field<&E::text>("Text", "text", rw),
      field<&E::colour>("Colour", "colour", ro), field<&E::blob>("Blob"), field<&E::time>("Time", "time", rw),
      field<&E::wait>("Wait", "wait", ro), field<&E::texts>("Texts", "texts", ro | scope::non_persistent),
      field<&E::ports>("Ports", "ports", ro), field<&E::items>("Items", "items", rw),
      field<&E::maybe_items>("MaybeItems", "maybeitems", ro),
      field<&E::maybe_texts>("MaybeTexts", "maybetexts", ro), field<&E::blobs>("Blobs", "blobs", ro),
      field<&E::lists>("Lists", "lists", ro), field<&E::maps>("Maps", "maps", scope::hidden),
      field<&E::pair>("Pair", "pair", ro), field<&E::strings>("Strings", "strings", rw),
      field<&E::item_map>("ItemMap", "itemmap", ro),
      field<&E::writable_items>("WritableItems", "wr.items", rw),
      field<&E::numbered>("Numbered", "numbered", ro), field<&E::flags>("Flags", "flags", scope::hidden),
      field<&E::colours>("Colours"), field<&E::list_map>("ListMap", "listmap", ro),
      field<&E::map_map>("MapMap", "mapmap", ro), field<&E::quiet>("Quiet", "quiet", ro),
      field<&E::maybe_blob>("MaybeBlob", "maybeblob", ro), field<&E::maybe_map>("MaybeMap", "maybemap", rw),
      field<&E::node>("Node", "node", ro), field<&E::choice>("Choice", "choice", ro),
      field<&E::choices>("Choices", "choices", rw), field<&E::secret>("Secret", "secret", scope::secret),
      field<&E::secrets>("Secrets", "secrets", scope::secret | scope::read_write));
}

constexpr std::uint32_t kRounds = 400;

TEST(Properties, DecodingUndoesEncoding) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto value = RandomValue(seed).make<Everything>();
    const Pairs pairs = encode(value);
    Everything again;
    decode(pairs, again);
    ASSERT_EQ(describe::to_json(again), describe::to_json(value)) << "seed " << seed;
    ASSERT_EQ(again, value) << "seed " << seed;
    ASSERT_EQ(encode(again), pairs) << "seed " << seed;
  }
}

TEST(Properties, BelowAPrefixToo) {
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

TEST(Properties, StoringAgainLeavesNothingStale) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto first = RandomValue(seed).make<Everything>();
    const auto second = RandomValue(seed + kRounds).make<Everything>();
    Pairs stored = encode(first);
    Pairs copy = stored;
    const Difference difference = update(second, stored);
    ASSERT_EQ(stored, encode(second));
    extraconfig::apply(difference, copy);
    ASSERT_EQ(copy, stored);
    Everything value = first;
    decode(stored, value, {}, Absent::reset);
    ASSERT_EQ(value, second) << "seed " << seed;
  }
}

TEST(Properties, NothingChangesWithoutData) {
  for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
    const auto value = RandomValue(seed).make<Everything>();
    Everything same = value;
    EXPECT_FALSE(decode(Pairs(), same));
    ASSERT_EQ(same, value);
    decode(Pairs(), same, {}, Absent::reset);
    ASSERT_EQ(same, Everything());
  }
}

TEST(Properties, DamageIsRefusedOrRead) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    RandomValue random(seed);
    Pairs pairs = encode(random.make<Everything>());
    auto victim = std::next(pairs.begin(), static_cast<std::ptrdiff_t>(random.below(pairs.size())));
    const std::array<std::string, 8> texts = {"", "-1", "0", "5", "a|b", "99999999999999999999", "%", "x"};
    victim->second = texts[random.below(texts.size())];
    if (random.below(4) == 0) pairs.erase(victim);
    Everything value = RandomValue(seed + 1).make<Everything>();
    const Everything before = value;
    try {
      decode(pairs, value, {}, Absent::reset);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), Code::corrupt);
      ASSERT_EQ(value, before);
    }
  }
}

TEST(Properties, SealedValuesAreOpened) {
  const SealingKey key = SealingKey::generate();
  for (std::uint32_t seed = 0; seed < kRounds / 8; ++seed) {
    const auto value = RandomValue(seed).make<Everything>();
    Pairs stored;
    PairsSink inner(stored);
    SealingSink sealing(inner, key, SealingSink::KeyEntry::leave_out);
    encode(value, sealing);
    for (const auto& [name, text] : stored) {
      if (!is_secret(name)) continue;
      ASSERT_EQ(key.open(text), encode(value).at(name));
    }
    PairsSource source(stored);
    OpeningSource opening(source, key);
    Everything again;
    decode(opening, again);
    ASSERT_EQ(again, value);
    OpeningSource wrong(source, SealingKey::generate());
    EXPECT_THROW(decode(wrong, again), Error);
    EXPECT_EQ(again, value);
  }
}

TEST(Properties, JsonIsUndoneToo) {
  for (std::uint32_t seed = 0; seed < kRounds; ++seed) {
    const auto value = RandomValue(seed).make<Everything>();
    Everything again;
    describe::from_json(describe::to_json(value), again, describe::UnknownMembers::refuse);
    ASSERT_EQ(again, value) << describe::to_json(value);
  }
}

}  // namespace property_types
}  // namespace berth::extraconfig
