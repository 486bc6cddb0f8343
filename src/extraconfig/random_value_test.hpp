#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "describe/describe.hpp"

/// Random values of described types, for properties that hold for all of them.
namespace berth::extraconfig {

class RandomValue {
 public:
  explicit RandomValue(std::uint32_t seed) : random_(seed) {}

  template <typename T>
  T make() {
    T value{};
    fill(describe::type_of<T>(), &value, 0);
    return value;
  }

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

 private:
  using Kind = describe::Kind;

  void fill(const describe::Type& type, void* value, int depth) {
    switch (type.kind()) {
      case Kind::boolean:
        return static_cast<const describe::BooleanType&>(type).set(value, below(2) == 0);
      case Kind::integer:
        static_cast<const describe::IntegerType&>(type).set(value, number<std::int64_t>());
        return;
      case Kind::unsigned_integer:
        static_cast<const describe::UnsignedType&>(type).set(value, number<std::uint64_t>());
        return;
      case Kind::floating:
        static_cast<const describe::FloatingType&>(type).set(value, floating());
        return;
      case Kind::text:
        return static_cast<const describe::TextType&>(type).set(value, text());
      case Kind::bytes:
        // Refused lengths leave it empty.
        static_cast<const describe::BytesType&>(type).set(value, bytes());
        return;
      case Kind::time:
        return static_cast<const describe::TimeType&>(type).set(value, time());
      case Kind::enumeration: {
        const auto& enumeration = static_cast<const describe::EnumerationType&>(type);
        const auto all = enumeration.enumerators();
        return enumeration.set(value, all[below(all.size())].number);
      }
      default:
        return fill_parts(type, value, depth + 1);
    }
  }

  void fill_parts(const describe::Type& type, void* value, int depth) {
    const std::uint64_t most = depth > 6 ? 1 : 4;
    if (type.kind() == Kind::structure) {
      for (const auto& field : static_cast<const describe::StructureType&>(type).fields()) {
        fill(*field.type, field.in(value), depth);
      }
    } else if (type.kind() == Kind::list) {
      const auto& list = static_cast<const describe::ListType&>(type);
      list.resize(value, below(most));
      for (std::size_t i = 0; i < list.size(value); ++i) fill(list.element(), list.at(value, i), depth);
    } else if (type.kind() == Kind::map) {
      const auto& map = static_cast<const describe::MapType&>(type);
      for (std::uint64_t i = below(most); i > 0; --i) {
        const auto place = map.place(value, [&](void* key) { fill(map.key(), key, depth); });
        fill(map.mapped(), place.mapped, depth);
      }
    } else if (type.kind() == Kind::pointer) {
      const auto& pointer = static_cast<const describe::PointerType&>(type);
      if (below(most) > 0) fill(pointer.target(), pointer.emplace(value), depth);
    } else {
      const auto& variant = static_cast<const describe::VariantType&>(type);
      const std::size_t index = below(variant.names().size());
      fill(variant.alternative(index), variant.emplace(value, index), depth);
    }
  }

  template <typename T>
  T number() {
    constexpr std::array<T, 4> kEdges = {0, 1, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
    const auto choice = below(8);
    return choice < kEdges.size() ? kEdges[choice] : static_cast<T>(random_() >> below(64));
  }

  double floating() {
    constexpr std::array<double, 6> kEdges = {0,      -0.0,    1, std::numeric_limits<double>::infinity(),
                                              5e-324, -1.5e300};
    const auto choice = below(12);
    return choice < kEdges.size() ? kEdges[choice] : std::uniform_real_distribution<>(-1e6, 1e6)(random_);
  }

  /// UTF-8, rich in what keys and lists treat in a special way.
  std::string text() {
    constexpr std::array<std::string_view, 22> kPieces = {
        "",  "|",     ".",      "/",        "@",      "~", "%",       "a",
        "b", "c",     "common", "x",        "1",      "0", "@secret", "@non-persistent",
        " ", "<nil>", "%7C",    "\xc3\xa9", "\n\"\\", "id"};
    std::string result;
    for (auto i = below(4); i > 0; --i) result += kPieces[below(kPieces.size())];
    return result;
  }

  std::string bytes() {
    constexpr std::array<std::size_t, 6> kSizes = {0, 1, 4, 16, 16, 33};
    std::string result(kSizes[below(kSizes.size())], '\0');
    for (char& c : result) c = static_cast<char>(below(256));
    return result;
  }

  describe::Time time() {
    describe::Time result;
    if (below(4) == 0) return result;
    result.seconds = static_cast<std::int64_t>(below(300'000'000'000)) - 60'000'000'000;
    result.nanoseconds = below(2) == 0 ? 0 : static_cast<std::int32_t>(below(1'000'000'000));
    if (below(2) == 0) return result;
    result.offset = (static_cast<std::int32_t>(below(1680)) - 840) * 60;
    result.zone = below(2) == 0 ? "" : "CEST";
    return result;
  }

  std::mt19937_64 random_;
};

}  // namespace berth::extraconfig
