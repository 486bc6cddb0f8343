#include "describe/type.hpp"

namespace berth::describe {
namespace {

bool is_default_structure(const StructureType& type, const void* value) {
  for (const Field& field : type.fields()) {
    if (!is_default(*field.type, field.in(value))) return false;
  }
  return true;
}

}  // namespace

bool is_default(const Type& type, const void* value) {
  switch (type.kind()) {
    case Kind::boolean:
      return !static_cast<const BooleanType&>(type).get(value);
    case Kind::integer:
      return static_cast<const IntegerType&>(type).get(value) == 0;
    case Kind::unsigned_integer:
      return static_cast<const UnsignedType&>(type).get(value) == 0;
    case Kind::floating:
      return static_cast<const FloatingType&>(type).get(value) == 0;
    case Kind::text:
      return static_cast<const TextType&>(type).get(value).empty();
    case Kind::bytes:
      return static_cast<const BytesType&>(type).get(value).empty();
    case Kind::time:
      return static_cast<const TimeType&>(type).get(value).is_zero();
    case Kind::enumeration:
      return static_cast<const EnumerationType&>(type).get(value) == 0;
    case Kind::structure:
      return is_default_structure(static_cast<const StructureType&>(type), value);
    case Kind::list:
      return static_cast<const ListType&>(type).size(value) == 0;
    case Kind::map:
      return static_cast<const MapType&>(type).size(value) == 0;
    case Kind::pointer:
      return static_cast<const PointerType&>(type).get(value) == nullptr;
    case Kind::variant: {
      const auto& variant = static_cast<const VariantType&>(type);
      return variant.index(value) == 0 && is_default(variant.alternative(0), variant.get(value));
    }
  }
  return false;
}

}  // namespace berth::describe
