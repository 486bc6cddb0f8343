#include "describe/describe.hpp"

#include <gtest/gtest.h>

namespace berth::describe {
namespace test_types {

enum class Colour { red = 1, blue = 7 };
constexpr auto describe(const Colour*) {
  return enumerators(EnumeratorOf{"red", Colour::red}, EnumeratorOf{"blue", Colour::blue});
}

struct Inner {
  std::string text;
  std::optional<std::string> maybe;
  bool operator==(const Inner&) const = default;
};
constexpr auto describe(const Inner*) {
  return fields(field<&Inner::text>("Text"), field<&Inner::maybe>("Maybe", "maybe", scope::hidden));
}

struct Outer {
  Inner inner;
  std::array<int, 3> numbers{};
  std::vector<Inner> list;
  std::map<std::string, std::optional<Inner>> map;
  Box<Outer> next;
  std::unique_ptr<int> owned;
  std::optional<std::vector<std::string>> names;
  std::chrono::nanoseconds wait{};
  Colour colour = Colour::red;
  Bytes bytes;
  Time time;
  std::uint16_t port = 0;
  float ratio = 0;
};
constexpr auto describe(const Outer*) {
  return fields(field<&Outer::inner>("Inner"), field<&Outer::numbers>("Numbers"), field<&Outer::list>("List"),
                field<&Outer::map>("Map"), field<&Outer::next>("Next"), field<&Outer::owned>("Owned"),
                field<&Outer::names>("Names"), field<&Outer::wait>("Wait"), field<&Outer::colour>("Colour"),
                field<&Outer::bytes>("Bytes"), field<&Outer::time>("Time"), field<&Outer::port>("Port"),
                field<&Outer::ratio>("Ratio", "ratio", scope::read_only));
}

struct Forgotten {
  std::optional<Inner> a;
  std::vector<std::string> b;
  std::optional<std::string> c;
};
constexpr auto describe(const Forgotten*) {
  return fields(field<&Forgotten::a>("A"), field<&Forgotten::b>("B"));
}

struct Twice {
  int a = 0;
  int b = 0;
};
constexpr auto describe(const Twice*) {
  return fields(field<&Twice::a>("A"), field<&Twice::a>("B"));
}

struct SameKey {
  int a = 0;
  int b = 0;
};
constexpr auto describe(const SameKey*) {
  return fields(field<&SameKey::a>("A", "x", scope::hidden), field<&SameKey::b>("B", "x", scope::read_only));
}

struct BadKey {
  int a = 0;
};
constexpr auto describe(const BadKey*) {
  return fields(field<&BadKey::a>("A", "x@y", scope::hidden));
}

struct BadScopes {
  int a = 0;
};
constexpr auto describe(const BadScopes*) {
  return fields(field<&BadScopes::a>("A", "a", scope::hidden | scope::non_persistent));
}

static_assert(fault_of<Inner>() == Fault::none);
static_assert(fault_of<Outer>() == Fault::none);
static_assert(fault_of<Forgotten>() == Fault::missing_member);
static_assert(fault_of<Twice>() == Fault::member_twice);
static_assert(fault_of<SameKey>() == Fault::key_twice);
static_assert(fault_of<BadKey>() == Fault::bad_key);
static_assert(fault_of<BadScopes>() == Fault::bad_scopes);

TEST(Describe, ReachesEveryMember) {
  const auto& type = static_cast<const StructureType&>(type_of<Outer>());
  ASSERT_EQ(type.kind(), Kind::structure);
  EXPECT_NE(type.name().find("Outer"), std::string_view::npos);
  ASSERT_EQ(type.fields().size(), 13u);

  Outer value;
  const Field& port = type.fields()[11];
  EXPECT_EQ(port.name, "Port");
  const auto& number = static_cast<const UnsignedType&>(*port.type);
  EXPECT_TRUE(number.set(port.in(static_cast<void*>(&value)), 65535));
  EXPECT_FALSE(number.set(port.in(static_cast<void*>(&value)), 65536));
  EXPECT_EQ(value.port, 65535);

  const Field& next = type.fields()[4];
  const auto& pointer = static_cast<const PointerType&>(*next.type);
  EXPECT_EQ(pointer.get(&value.next), nullptr);
  pointer.emplace(&value.next);
  EXPECT_TRUE(static_cast<bool>(value.next));
  EXPECT_EQ(&pointer.target(), &type);
}

TEST(Describe, MapsArePlacedAndErased) {
  std::map<std::string, int> map{{"a", 1}, {"b", 2}};
  const auto& type = static_cast<const MapType&>(type_of<std::map<std::string, int>>());
  const auto place = type.place(&map, [](void* key) { *static_cast<std::string*>(key) = "c"; });
  EXPECT_TRUE(place.inserted);
  *static_cast<int*>(place.mapped) = 3;
  type.erase_if(&map, [](const void* key) { return *static_cast<const std::string*>(key) == "a"; });
  EXPECT_EQ(map, (std::map<std::string, int>{{"b", 2}, {"c", 3}}));
}

}  // namespace test_types
}  // namespace berth::describe
