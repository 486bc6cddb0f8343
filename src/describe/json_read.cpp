#include <algorithm>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/json.hpp"
#include "describe/json_document.hpp"
#include "describe/json_path.hpp"
#include "describe/text.hpp"

namespace berth::describe {
namespace {

using detail::JsonNode;
using detail::JsonPath;

class Reader {
 public:
  explicit Reader(UnknownMembers unknown) : unknown_(unknown) {}

  void value(const Type& type, void* value, const JsonNode& node);

 private:
  void single(const Type& type, void* value, const JsonNode& node);
  void bytes(const BytesType& type, void* value, const std::string& text);
  void structure(const StructureType& type, void* value, const JsonNode& node);
  void list(const ListType& type, void* value, const JsonNode& node);
  void map(const MapType& type, void* value, const JsonNode& node);
  void pointer(const PointerType& type, void* value, const JsonNode& node);
  void variant(const VariantType& type, void* value, const JsonNode& node);

  void expect(const JsonNode& node, JsonNode::Kind kind, std::string_view what) {
    if (node.kind != kind) path_.fail(std::string("expected ").append(what));
  }
  void require(bool fits, std::string_view reason) {
    if (!fits) path_.fail(reason);
  }

  UnknownMembers unknown_;
  JsonPath path_;
};

void Reader::value(const Type& type, void* value, const JsonNode& node) {
  switch (type.kind()) {
    case Kind::structure:
      return structure(static_cast<const StructureType&>(type), value, node);
    case Kind::list:
      return list(static_cast<const ListType&>(type), value, node);
    case Kind::map:
      return map(static_cast<const MapType&>(type), value, node);
    case Kind::pointer:
      return pointer(static_cast<const PointerType&>(type), value, node);
    case Kind::variant:
      return variant(static_cast<const VariantType&>(type), value, node);
    default:
      return single(type, value, node);
  }
}

void Reader::single(const Type& type, void* value, const JsonNode& node) {
  constexpr std::string_view kTooLarge = "the number is too large for its type";
  switch (type.kind()) {
    case Kind::boolean:
      expect(node, JsonNode::Kind::boolean, "true or false");
      return static_cast<const BooleanType&>(type).set(value, node.boolean);
    case Kind::integer: {
      expect(node, JsonNode::Kind::number, "a whole number");
      const auto number = read_integer(node.text);
      require(number.has_value(), "expected a whole number of 64 bits");
      return require(static_cast<const IntegerType&>(type).set(value, *number), kTooLarge);
    }
    case Kind::unsigned_integer: {
      expect(node, JsonNode::Kind::number, "a whole number");
      const auto number = read_unsigned(node.text);
      require(number.has_value(), "expected a whole positive number of 64 bits");
      return require(static_cast<const UnsignedType&>(type).set(value, *number), kTooLarge);
    }
    case Kind::floating: {
      const bool is_word = node.text == "NaN" || node.text == "+Inf" || node.text == "-Inf";
      if (!is_word) expect(node, JsonNode::Kind::number, "a number");
      const auto number = read_floating(node.text);
      require(number && static_cast<const FloatingType&>(type).set(value, *number), kTooLarge);
      return;
    }
    case Kind::text:
      expect(node, JsonNode::Kind::text, "a text");
      return static_cast<const TextType&>(type).set(value, node.text);
    case Kind::bytes:
      expect(node, JsonNode::Kind::text, "a text");
      return bytes(static_cast<const BytesType&>(type), value, node.text);
    case Kind::time: {
      expect(node, JsonNode::Kind::text, "a time as text");
      auto time = read_time(node.text);
      require(time.has_value(), "expected a time such as \"2009-11-10 23:00:00 +0000 UTC\"");
      return static_cast<const TimeType&>(type).set(value, *std::move(time));
    }
    case Kind::enumeration:
      expect(node, JsonNode::Kind::text, "a name");
      return require(detail::set_map_key(type, value, node.text), "not one of the known names");
    default:
      return;
  }
}

void Reader::bytes(const BytesType& type, void* value, const std::string& text) {
  if (type.has_text()) return require(type.set_text(value, text), "the text has not the form of its type");
  auto bytes = read_base64(text);
  require(bytes.has_value(), "expected base64");
  require(type.set(value, *std::move(bytes)), "bytes of the wrong length or content");
}

void Reader::structure(const StructureType& type, void* value, const JsonNode& node) {
  expect(node, JsonNode::Kind::object, "an object");
  const auto fields = type.fields();
  for (const auto& [name, member] : node.members) {
    const JsonPath::Step step(path_, name);
    const auto field = std::find_if(fields.begin(), fields.end(), [&, &wanted = name](const Field& one) {
      return json_name(one.name) == wanted;
    });
    if (field != fields.end()) {
      this->value(*field->type, field->in(value), member);
    } else if (unknown_ == UnknownMembers::refuse) {
      path_.fail("there is no such member");
    }
  }
}

void Reader::list(const ListType& type, void* value, const JsonNode& node) {
  if (node.kind == JsonNode::Kind::null) return type.reset(value);
  expect(node, JsonNode::Kind::list, "a list");
  type.reset(value);
  require(type.resize(value, node.elements.size()), "the list has a fixed length that is another one");
  for (std::size_t i = 0; i < node.elements.size(); ++i) {
    const JsonPath::Step step(path_, i);
    this->value(type.element(), type.at(value, i), node.elements[i]);
  }
}

void Reader::map(const MapType& type, void* value, const JsonNode& node) {
  if (node.kind == JsonNode::Kind::null) return type.reset(value);
  expect(node, JsonNode::Kind::object, "an object");
  for (const auto& [name, member] : node.members) {
    const JsonPath::Step step(path_, JsonPath::MapKey{name});
    const auto place = type.place(value, [&, &text = name](void* key) {
      const bool fits =
          detail::set_map_key(type.key(), key, text) && detail::map_key_text(type.key(), key) == text;
      require(fits, "the name cannot be a key of this map");
    });
    this->value(type.mapped(), place.mapped, member);
  }
  type.erase_if(value,
                [&](const void* key) { return node.find(detail::map_key_text(type.key(), key)) == nullptr; });
}

void Reader::pointer(const PointerType& type, void* value, const JsonNode& node) {
  if (node.kind == JsonNode::Kind::null) return type.reset(value);
  void* target = type.get(value);
  this->value(type.target(), target != nullptr ? target : type.emplace(value), node);
}

void Reader::variant(const VariantType& type, void* value, const JsonNode& node) {
  expect(node, JsonNode::Kind::object, "an object with one member");
  require(node.members.size() == 1, "expected an object with one member");
  const auto& [name, member] = node.members.front();
  const auto names = type.names();
  const auto found = std::find(names.begin(), names.end(), name);
  const JsonPath::Step step(path_, name);
  require(found != names.end(), "not one of the known alternatives");
  const auto index = static_cast<std::size_t>(found - names.begin());
  this->value(type.alternative(index), type.emplace(value, index), member);
}

}  // namespace

void from_json(std::string_view text, const Type& type, void* value, UnknownMembers unknown) {
  Reader(unknown).value(type, value, detail::parse_json(text));
}

}  // namespace berth::describe
