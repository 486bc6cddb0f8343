#include <algorithm>
#include <array>
#include <optional>

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

class Writer {
 public:
  explicit Writer(bool indent) : indent_(indent) {}

  void value(const Type& type, const void* value, const JsonNode* known);
  std::string take() {
    if (indent_) out_ += '\n';
    return std::move(out_);
  }

 private:
  void single(const Type& type, const void* value);
  void text(std::string_view text);
  void floating(double value);
  void structure(const StructureType& type, const void* value, const JsonNode* known);
  void list(const ListType& type, const void* value, const JsonNode* known);
  void map(const MapType& type, const void* value, const JsonNode* known);
  void variant(const VariantType& type, const void* value, const JsonNode* known);
  void node(const JsonNode& node);
  [[noreturn]] void fail(std::string_view reason) const { path_.fail(reason); }

  /// Opens with `bracket`; each item then starts with next().
  void open(char bracket) {
    out_ += bracket;
    ++depth_;
    is_first_ = true;
  }
  void next() {
    if (!is_first_) out_ += ',';
    is_first_ = false;
    line();
  }
  void close(char bracket) {
    --depth_;
    if (!is_first_) line();
    out_ += bracket;
    is_first_ = false;
  }
  void line() {
    if (indent_) (out_ += '\n').append(2 * depth_, ' ');
  }
  void name(std::string_view name) {
    next();
    detail::append_json_text(name, out_);
    out_ += indent_ ? ": " : ":";
  }

  bool indent_;
  bool is_first_ = true;
  std::size_t depth_ = 0;
  std::string out_;
  JsonPath path_;
};

void Writer::value(const Type& type, const void* value, const JsonNode* known) {
  switch (type.kind()) {
    case Kind::structure:
      return structure(static_cast<const StructureType&>(type), value, known);
    case Kind::list:
      return list(static_cast<const ListType&>(type), value, known);
    case Kind::map:
      return map(static_cast<const MapType&>(type), value, known);
    case Kind::variant:
      return variant(static_cast<const VariantType&>(type), value, known);
    case Kind::pointer: {
      const auto& pointer = static_cast<const PointerType&>(type);
      const void* target = pointer.get(value);
      if (target == nullptr) {
        out_ += "null";
      } else {
        this->value(pointer.target(), target, known);
      }
      return;
    }
    default:
      return single(type, value);
  }
}

void Writer::text(std::string_view text) {
  if (!is_utf8(text)) fail("the text is not UTF-8");
  detail::append_json_text(text, out_);
}

void Writer::floating(double value) {
  std::string digits;
  append_floating(value, digits);
  const bool is_number = digits.find_first_of("IN") == digits.npos;
  out_ += is_number ? digits : '"' + digits + '"';
}

void Writer::single(const Type& type, const void* value) {
  switch (type.kind()) {
    case Kind::boolean:
      out_ += boolean_text(static_cast<const BooleanType&>(type).get(value));
      return;
    case Kind::integer:
      return append_integer(static_cast<const IntegerType&>(type).get(value), out_);
    case Kind::unsigned_integer:
      return append_unsigned(static_cast<const UnsignedType&>(type).get(value), out_);
    case Kind::floating:
      return floating(static_cast<const FloatingType&>(type).get(value));
    case Kind::text:
      return text(static_cast<const TextType&>(type).get(value));
    case Kind::bytes: {
      const auto& bytes = static_cast<const BytesType&>(type);
      std::string encoded = bytes.has_text() ? bytes.text(value) : "";
      if (!bytes.has_text()) append_base64(bytes.get(value), encoded);
      return text(encoded);
    }
    case Kind::time: {
      std::string encoded;
      if (!append_time(static_cast<const TimeType&>(type).get(value), encoded)) fail("the time has no text");
      return text(encoded);
    }
    case Kind::enumeration: {
      const auto& enumeration = static_cast<const EnumerationType&>(type);
      const auto all = enumeration.enumerators();
      const auto found = std::find_if(all.begin(), all.end(),
                                      [&](const auto& one) { return one.number == enumeration.get(value); });
      if (found == all.end()) fail("the value is not one of the known ones");
      return text(found->name);
    }
    default:
      return;
  }
}

void Writer::structure(const StructureType& type, const void* value, const JsonNode* known) {
  open('{');
  std::vector<std::string> names;
  for (const Field& field : type.fields()) {
    names.push_back(json_name(field.name));
    const void* member = field.in(value);
    const bool missing = field.type->kind() == Kind::pointer &&
                         static_cast<const PointerType&>(*field.type).get(member) == nullptr;
    if (missing) continue;
    name(names.back());
    const JsonPath::Step step(path_, names.back());
    this->value(*field.type, member, known != nullptr ? known->find(names.back()) : nullptr);
  }
  if (known != nullptr) {
    for (const auto& [unknown, node] : known->members) {
      if (std::find(names.begin(), names.end(), unknown) != names.end()) continue;
      name(unknown);
      this->node(node);
    }
  }
  close('}');
}

void Writer::list(const ListType& type, const void* value, const JsonNode* known) {
  open('[');
  for (std::size_t i = 0; i < type.size(value); ++i) {
    next();
    const JsonPath::Step step(path_, i);
    const bool has = known != nullptr && i < known->elements.size();
    this->value(type.element(), type.at(value, i), has ? &known->elements[i] : nullptr);
  }
  close(']');
}

void Writer::map(const MapType& type, const void* value, const JsonNode* known) {
  open('{');
  type.for_each(value, [&](const void* key, const void* mapped) {
    const std::string key_text = detail::map_key_text(type.key(), key);
    const JsonPath::Step step(path_, JsonPath::MapKey{key_text});
    if (!is_utf8(key_text)) fail("the map key is not UTF-8");
    name(key_text);
    this->value(type.mapped(), mapped, known != nullptr ? known->find(key_text) : nullptr);
  });
  close('}');
}

void Writer::variant(const VariantType& type, const void* value, const JsonNode* known) {
  const std::string_view alternative = type.names()[type.index(value)];
  open('{');
  name(alternative);
  const JsonPath::Step step(path_, std::string(alternative));
  this->value(type.alternative(type.index(value)), type.get(value),
              known != nullptr ? known->find(alternative) : nullptr);
  close('}');
}

void Writer::node(const JsonNode& node) {
  switch (node.kind) {
    case JsonNode::Kind::null:
      out_ += "null";
      return;
    case JsonNode::Kind::boolean:
      out_ += boolean_text(node.boolean);
      return;
    case JsonNode::Kind::number:
      out_ += node.text;
      return;
    case JsonNode::Kind::text:
      return detail::append_json_text(node.text, out_);
    case JsonNode::Kind::list:
      open('[');
      for (const JsonNode& element : node.elements) {
        next();
        this->node(element);
      }
      return close(']');
    case JsonNode::Kind::object:
      open('{');
      for (const auto& [member, inner] : node.members) {
        name(member);
        this->node(inner);
      }
      return close('}');
  }
}

}  // namespace

std::string to_json(const Type& type, const void* value, const JsonFormat& format) {
  std::optional<JsonNode> known;
  if (!format.keep_unknown_of.empty()) known = detail::parse_json(format.keep_unknown_of);
  Writer writer(format.indent);
  writer.value(type, value, known ? &*known : nullptr);
  return writer.take();
}

std::string json_name(std::string_view name) {
  const auto is_upper = [&](std::size_t i) { return i < name.size() && name[i] >= 'A' && name[i] <= 'Z'; };
  const auto is_lower = [&](std::size_t i) { return i < name.size() && !is_upper(i); };
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    // A word begins after a small letter, and at the last of several capitals before one.
    if (i > 0 && is_upper(i) && name[i - 1] != '_' && (!is_upper(i - 1) || is_lower(i + 1))) result += '_';
    result += is_upper(i) ? static_cast<char>(name[i] - 'A' + 'a') : name[i];
  }
  return result;
}

}  // namespace berth::describe
