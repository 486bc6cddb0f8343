#pragma once

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "describe/describe.hpp"

/// Types with fields of every kind, for properties of the codec.
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

/// Kinds within kinds.
struct Nested {
  std::vector<describe::Time> times;
  std::vector<Colour> colours;
  std::vector<double> ratios;
  std::vector<std::chrono::nanoseconds> waits;
  std::vector<std::array<std::int16_t, 2>> ranges;
  std::vector<std::map<std::string, Item>> item_maps;
  std::vector<std::vector<Item>> item_lists;
  std::array<Item, 2> two;
  std::map<bool, describe::Bytes> by_truth;
  std::map<std::uint8_t, Choice> choices;
  std::map<std::string, describe::Time> dates;
  std::map<std::string, std::optional<std::vector<std::string>>> maybe_lists;
  std::map<std::string, std::vector<Choice>> choice_lists;
  std::map<std::string, std::map<std::int32_t, std::string>> text_maps;
  std::map<std::string, std::map<std::string, std::vector<Colour>>> deep;
  std::optional<describe::Time> maybe_time;
  std::optional<Choice> maybe_choice;
  std::optional<std::vector<Item>> maybe_items;
  std::optional<Colour> maybe_colour;
  std::optional<std::uint64_t> maybe_number;
  std::optional<std::map<std::string, describe::Box<Node>>> maybe_nodes;
  std::vector<describe::Bytes> secret_blobs;
  std::optional<Item> secret_item;
  bool operator==(const Nested&) const = default;
};

constexpr auto describe(const Nested*) {
  using N = Nested;
  constexpr auto ro = scope::read_only;
  constexpr auto rw = scope::read_write;
  return fields(field<&N::times>("Times", "times", rw), field<&N::colours>("Colours", "colours", ro),
                field<&N::ratios>("Ratios"), field<&N::waits>("Waits", "waits", ro),
                field<&N::ranges>("Ranges", "ranges", ro), field<&N::item_maps>("ItemMaps", "item.maps", rw),
                field<&N::item_lists>("ItemLists", "itemlists", ro), field<&N::two>("Two", "two", ro),
                field<&N::by_truth>("ByTruth", "bytruth", ro), field<&N::choices>("Choices", "choices", rw),
                field<&N::dates>("Dates", "dates", rw),
                field<&N::maybe_lists>("MaybeLists", "maybelists", ro),
                field<&N::choice_lists>("ChoiceLists"), field<&N::text_maps>("TextMaps", "textmaps", rw),
                field<&N::deep>("Deep", "deep", ro | scope::non_persistent),
                field<&N::maybe_time>("MaybeTime", "maybetime", ro),
                field<&N::maybe_choice>("MaybeChoice", "maybechoice", ro),
                field<&N::maybe_items>("MaybeItems", "maybeitems", rw),
                field<&N::maybe_colour>("MaybeColour"), field<&N::maybe_number>("MaybeNumber", "n/umber", ro),
                field<&N::maybe_nodes>("MaybeNodes", "maybenodes", ro),
                field<&N::secret_blobs>("SecretBlobs", "secretblobs", scope::secret),
                field<&N::secret_item>("SecretItem", "secretitem", scope::secret));
}

}  // namespace property_types
}  // namespace berth::extraconfig
