#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include <boost/json.hpp>

#include "base/io.hpp"
#include "base/text.hpp"
#include "config/appliance.hpp"
#include "describe/json.hpp"
#include "extraconfig/codec.hpp"

/// Holds the types of this folder against the recorded ones of the original.
namespace berth::config {
namespace {

namespace json = boost::json;
using describe::Kind;
using describe::Type;

const json::value& recorded() {
  static const json::value kFile = json::parse(read_file(
      std::filesystem::path(__FILE__).parent_path().parent_path() / "extraconfig/testdata/extraconfig.json"));
  return kFile;
}

/// Follows names to what they stand for.
const json::value& resolve(const json::value& description) {
  const auto* object = description.if_object();
  const auto* name = object != nullptr ? object->if_contains("ref") : nullptr;
  return name != nullptr ? resolve(recorded().at("types").at(name->as_string())) : description;
}

std::string tag_of(const json::object& field, std::string_view name) {
  const auto* tag = field.if_contains("tag");
  const auto* found = tag != nullptr ? tag->as_object().if_contains(name) : nullptr;
  return found != nullptr ? std::string(std::string_view(found->as_string())) : std::string();
}

void compare(const Type& type, const json::value& description);

void compare_field(const describe::Field& field, const json::object& description) {
  const std::string name(field.name);
  SCOPED_TRACE(name);
  EXPECT_EQ(name, std::string_view(description.at("name").as_string()));
  const std::string key = tag_of(description, "key");
  EXPECT_EQ(field.key, key.empty() ? name : key);
  describe::Scopes scopes = describe::Scopes::none;
  for (const std::string& word : split(tag_of(description, "scope"), ',')) {
    if (!word.empty()) scopes = scopes | describe::scope_from_word(word);
  }
  EXPECT_EQ(field.scopes, scopes);
  EXPECT_EQ(field.depth == 0, tag_of(description, "recurse") == "depth=0");
  compare(*field.type, description.at("type"));
}

/// The original's fields come first and in its order; Berth's own follow.
void compare_fields(const describe::StructureType& type, const json::array& descriptions) {
  auto field = type.fields().begin();
  for (const json::value& one : descriptions) {
    const json::object& description = one.as_object();
    const std::string_view name = description.at("name").as_string();
    if (description.contains("unexported") || name == "DynamicData") continue;
    ASSERT_NE(field, type.fields().end());
    compare_field(*field++, description);
  }
}

void compare(const Type& type, const json::value& description) {
  const json::value& resolved = resolve(description);
  if (const auto* word = resolved.if_string()) {
    static const std::map<std::string_view, Kind> kKinds = {
        {"string", Kind::text},   {"bool", Kind::boolean},  {"int", Kind::integer},
        {"int32", Kind::integer}, {"int64", Kind::integer}, {"time", Kind::time}};
    EXPECT_TRUE(type.kind() == kKinds.at(*word) || (type.kind() == Kind::enumeration && *word == "int"));
    return;
  }
  const json::object& object = resolved.as_object();
  if (const auto* fields = object.if_contains("struct")) {
    // The credentials of a URL have no public fields there.
    if (type.name().find("UserInfo") != std::string_view::npos) return;
    ASSERT_EQ(type.kind(), Kind::structure);
    compare_fields(static_cast<const describe::StructureType&>(type), fields->as_array());
  } else if (const auto* target = object.if_contains("ptr")) {
    // A map's value that is always there needs no pointer.
    const bool pointer = type.kind() == Kind::pointer;
    compare(pointer ? static_cast<const describe::PointerType&>(type).target() : type, *target);
  } else if (const auto* map = object.if_contains("map")) {
    ASSERT_EQ(type.kind(), Kind::map);
    compare(static_cast<const describe::MapType&>(type).mapped(), map->at(1));
  } else if (const auto* element = object.if_contains("slice"); type.kind() != Kind::bytes) {
    ASSERT_EQ(type.kind(), Kind::list);
    compare(static_cast<const describe::ListType&>(type).element(), *element);
  } else {
    EXPECT_EQ(resolve(*element).as_string(), "uint8");
  }
}

TEST(Recorded, TypesHaveTheOriginalsFields) {
  const json::object& types = recorded().at("types").as_object();
  compare(describe::type_of<ExecutorConfig>(), types.at("executor.ExecutorConfig"));
  compare(describe::type_of<ApplianceConfig>(), types.at("config.VirtualContainerHostConfigSpec"));
}

/// Reads what the original wrote and writes it again: every pair is there, with Berth's own after them.
template <typename T>
void rewrite(const extraconfig::Pairs& pairs, std::string_view prefix) {
  T value;
  extraconfig::decode(pairs, value, prefix);
  extraconfig::Pairs again;
  extraconfig::encode(value, again, prefix);
  for (const auto& [key, text] : pairs) {
    ASSERT_TRUE(again.contains(key)) << key;
    EXPECT_EQ(again.at(key), text) << key;
  }

  T from_json;
  describe::from_json(describe::to_json(value), from_json, describe::UnknownMembers::refuse);
  EXPECT_EQ(from_json, value);
}

TEST(Recorded, ValuesAreReadAndWritten) {
  int compared = 0;
  for (const json::value& one : recorded().at("cases").as_array()) {
    const json::object& test = one.as_object();
    if (test.at("op").as_string() != "encode" || test.contains("filter")) continue;
    const auto* name = test.at("type").is_object() ? test.at("type").as_object().if_contains("ref") : nullptr;
    if (name == nullptr) continue;
    SCOPED_TRACE(std::string(std::string_view(test.at("name").as_string())));
    extraconfig::Pairs pairs;
    for (const auto& [key, text] : test.at("expect").as_object()) {
      pairs.emplace(key, std::string_view(text.as_string()));
    }
    const auto* prefix = test.if_contains("prefix");
    const std::string at = prefix != nullptr ? json::value_to<std::string>(*prefix) : "";
    if (name->as_string() == "executor.ExecutorConfig") {
      rewrite<ExecutorConfig>(pairs, at);
    } else if (name->as_string() == "config.VirtualContainerHostConfigSpec") {
      rewrite<ApplianceConfig>(pairs, at);
    } else if (name->as_string() == "executor.SessionConfig") {
      rewrite<SessionConfig>(pairs, at);
    } else if (name->as_string() == "config.Connection") {
      rewrite<Connection>(pairs, at);
    } else {
      continue;
    }
    ++compared;
  }
  EXPECT_GE(compared, 6);
}

}  // namespace
}  // namespace berth::config
