#include "describe/json_path.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/json_document.hpp"
#include "describe/text.hpp"

namespace berth::describe::detail {

JsonPath::Step::Step(JsonPath& path, const std::string& member) : path_(path), size_(path.text_.size()) {
  if (!path_.text_.empty()) path_.text_ += '.';
  path_.text_ += member;
}

JsonPath::Step::Step(JsonPath& path, std::size_t index) : path_(path), size_(path.text_.size()) {
  ((path_.text_ += '[') += std::to_string(index)) += ']';
}

JsonPath::Step::Step(JsonPath& path, MapKey key) : path_(path), size_(path.text_.size()) {
  path_.text_ += '[';
  append_json_text(key.text, path_.text_);
  path_.text_ += ']';
}

void JsonPath::fail(std::string_view reason) const {
  throw Error(Code::invalid_argument, "{}: {}", text_.empty() ? "the document" : printable(text_, 512),
              reason);
}

std::string map_key_text(const Type& type, const void* key) {
  std::string text;
  switch (type.kind()) {
    case Kind::boolean:
      text = boolean_text(static_cast<const BooleanType&>(type).get(key));
      break;
    case Kind::integer:
      append_integer(static_cast<const IntegerType&>(type).get(key), text);
      break;
    case Kind::unsigned_integer:
      append_unsigned(static_cast<const UnsignedType&>(type).get(key), text);
      break;
    case Kind::floating:
      append_floating(static_cast<const FloatingType&>(type).get(key), text);
      break;
    case Kind::text:
      text = static_cast<const TextType&>(type).get(key);
      break;
    case Kind::enumeration:
      for (const Enumerator& one : static_cast<const EnumerationType&>(type).enumerators()) {
        if (one.number == static_cast<const EnumerationType&>(type).get(key)) text = one.name;
      }
      break;
    default:
      break;
  }
  return text;
}

bool set_map_key(const Type& type, void* key, std::string_view text) {
  switch (type.kind()) {
    case Kind::boolean: {
      const auto value = read_boolean(text);
      if (value) static_cast<const BooleanType&>(type).set(key, *value);
      return value.has_value();
    }
    case Kind::integer: {
      const auto value = read_integer(text);
      return value && static_cast<const IntegerType&>(type).set(key, *value);
    }
    case Kind::unsigned_integer: {
      const auto value = read_unsigned(text);
      return value && static_cast<const UnsignedType&>(type).set(key, *value);
    }
    case Kind::floating: {
      const auto value = read_floating(text);
      return value && static_cast<const FloatingType&>(type).set(key, *value);
    }
    case Kind::text:
      static_cast<const TextType&>(type).set(key, text);
      return true;
    case Kind::enumeration: {
      const auto& enumeration = static_cast<const EnumerationType&>(type);
      const auto all = enumeration.enumerators();
      const auto found =
          std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == text; });
      if (found != all.end()) enumeration.set(key, found->number);
      return found != all.end();
    }
    default:
      return false;
  }
}

}  // namespace berth::describe::detail
