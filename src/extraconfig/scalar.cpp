#include "extraconfig/scalar.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/text.hpp"
#include "extraconfig/key.hpp"

namespace berth::extraconfig::detail {
namespace {

using describe::Kind;

template <typename T>
const T& as(const describe::Type& type) {
  return static_cast<const T&>(type);
}

bool append_enumerator(const describe::EnumerationType& type, const void* value, std::string& text) {
  const std::int64_t number = type.get(value);
  if (type.stored_as_number()) {
    describe::append_integer(number, text);
    return true;
  }
  const auto all = type.enumerators();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.number == number; });
  if (found == all.end()) return false;
  text += found->name;
  return true;
}

std::string_view set_enumerator(const describe::EnumerationType& type, void* value, std::string_view text) {
  const auto number = type.stored_as_number() ? describe::read_integer(text) : std::nullopt;
  const auto all = type.enumerators();
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) {
    return type.stored_as_number() ? one.number == number : one.name == text;
  });
  if (found == all.end()) return "not one of the known values";
  type.set(value, found->number);
  return {};
}

std::string_view set_bytes(const describe::BytesType& type, void* value, std::string_view text) {
  auto bytes = describe::read_base64(text);
  if (!bytes) return "not base64";
  return type.set(value, *std::move(bytes)) ? "" : "bytes of the wrong length or content";
}

/// The types that a walk is in.
struct Open {
  const describe::Type* type;
  const Open* outer;
};

bool has_structure(const describe::Type& type, const Open* outer = nullptr) {
  for (const Open* open = outer; open != nullptr; open = open->outer) {
    if (open->type == &type) return false;
  }
  const Open open{&type, outer};
  switch (type.kind()) {
    case Kind::structure:
    case Kind::variant:
      return true;
    case Kind::list:
      return has_structure(as<describe::ListType>(type).element(), &open);
    case Kind::map:
      return has_structure(as<describe::MapType>(type).mapped(), &open);
    case Kind::pointer:
      return has_structure(as<describe::PointerType>(type).target(), &open);
    default:
      return false;
  }
}

}  // namespace

bool is_scalar(Kind kind) {
  switch (kind) {
    case Kind::boolean:
    case Kind::integer:
    case Kind::unsigned_integer:
    case Kind::floating:
    case Kind::text:
    case Kind::enumeration:
      return true;
    default:
      return false;
  }
}

bool append_text(const describe::Type& type, const void* value, std::string& text) {
  switch (type.kind()) {
    case Kind::boolean:
      text += describe::boolean_text(as<describe::BooleanType>(type).get(value));
      return true;
    case Kind::integer:
      describe::append_integer(as<describe::IntegerType>(type).get(value), text);
      return true;
    case Kind::unsigned_integer:
      describe::append_unsigned(as<describe::UnsignedType>(type).get(value), text);
      return true;
    case Kind::floating:
      describe::append_floating(as<describe::FloatingType>(type).get(value), text);
      return true;
    case Kind::text:
      text += as<describe::TextType>(type).get(value);
      return true;
    case Kind::enumeration:
      return append_enumerator(as<describe::EnumerationType>(type), value, text);
    case Kind::time:
      return describe::append_time(as<describe::TimeType>(type).get(value), text);
    case Kind::bytes:
      describe::append_base64(as<describe::BytesType>(type).get(value), text);
      return true;
    default:
      return false;
  }
}

std::string_view set_text(const describe::Type& type, void* value, std::string_view text) {
  switch (type.kind()) {
    case Kind::boolean: {
      const auto read = describe::read_boolean(text);
      if (!read) return "not true or false";
      as<describe::BooleanType>(type).set(value, *read);
      return {};
    }
    case Kind::integer: {
      const auto read = describe::read_integer(text);
      if (!read) return "not a whole number of 64 bits";
      return as<describe::IntegerType>(type).set(value, *read) ? "" : "a number too large for its type";
    }
    case Kind::unsigned_integer: {
      const auto read = describe::read_unsigned(text);
      if (!read) return "not a whole positive number of 64 bits";
      return as<describe::UnsignedType>(type).set(value, *read) ? "" : "a number too large for its type";
    }
    case Kind::floating: {
      const auto read = describe::read_floating(text);
      if (!read) return "not a number";
      return as<describe::FloatingType>(type).set(value, *read) ? "" : "a number too large for its type";
    }
    case Kind::text:
      as<describe::TextType>(type).set(value, text);
      return {};
    case Kind::enumeration:
      return set_enumerator(as<describe::EnumerationType>(type), value, text);
    case Kind::time: {
      auto read = describe::read_time(text);
      if (!read) return "not a time";
      as<describe::TimeType>(type).set(value, *std::move(read));
      return {};
    }
    case Kind::bytes:
      return set_bytes(as<describe::BytesType>(type), value, text);
    default:
      return "not a single value";
  }
}

MapValue map_value(const describe::Type& mapped) {
  if (has_structure(mapped)) return MapValue::rewritten;
  const describe::Type* type = &mapped;
  while (type->kind() == Kind::pointer) type = &as<describe::PointerType>(*type).target();
  return type->kind() == Kind::list || type->kind() == Kind::map ? MapValue::appended : MapValue::leaf;
}

bool is_read_write_style(std::string_view key) {
  return guest_writable(key);
}

void throw_corrupt(std::string_view key, std::string_view reason) {
  throw Error(Code::corrupt, "key \"{}\": {}", printable(key, 512), reason);
}

}  // namespace berth::extraconfig::detail
