#include "extraconfig/vector_types_test.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <stdexcept>

#include <boost/json.hpp>

#include "base/text.hpp"
#include "describe/text.hpp"
#include "extraconfig/scalar.hpp"

namespace berth::extraconfig::vectors {
namespace {

using describe::Kind;
using describe::Type;

Value& of(void* value) {
  return *static_cast<Value*>(value);
}
const Value& of(const void* value) {
  return *static_cast<const Value*>(value);
}

template <typename Base>
class Resettable : public Base {
 public:
  using Base::Base;
  void reset(void* value) const override { of(value) = new_value(*this); }
};

class Boolean final : public Resettable<describe::BooleanType> {
 public:
  using Resettable::Resettable;
  bool get(const void* value) const override { return of(value).boolean; }
  void set(void* value, bool to) const override { of(value).boolean = to; }
};

class Integer final : public Resettable<describe::IntegerType> {
 public:
  Integer(std::string_view name, int bits) : Resettable(name), bits_(bits) {}
  std::int64_t get(const void* value) const override { return of(value).integer; }
  bool set(void* value, std::int64_t to) const override {
    const std::int64_t most = std::numeric_limits<std::int64_t>::max() >> (64 - bits_);
    if (to > most || to < -most - 1) return false;
    of(value).integer = to;
    return true;
  }

 private:
  int bits_;
};

class Unsigned final : public Resettable<describe::UnsignedType> {
 public:
  Unsigned(std::string_view name, int bits) : Resettable(name), bits_(bits) {}
  std::uint64_t get(const void* value) const override { return of(value).number; }
  bool set(void* value, std::uint64_t to) const override {
    if (to > std::numeric_limits<std::uint64_t>::max() >> (64 - bits_)) return false;
    of(value).number = to;
    return true;
  }

 private:
  int bits_;
};

class Floating final : public Resettable<describe::FloatingType> {
 public:
  Floating(std::string_view name, bool single) : Resettable(name), single_(single) {}
  double get(const void* value) const override { return of(value).floating; }
  bool set(void* value, double to) const override {
    if (single_ && std::isfinite(to) && std::fabs(to) > std::numeric_limits<float>::max()) return false;
    of(value).floating = single_ ? static_cast<float>(to) : to;
    return true;
  }

 private:
  bool single_;
};

class Text final : public Resettable<describe::TextType> {
 public:
  using Resettable::Resettable;
  std::string_view get(const void* value) const override { return of(value).text; }
  void set(void* value, std::string_view to) const override { of(value).text = to; }
};

class ByteString final : public Resettable<describe::BytesType> {
 public:
  using Resettable::Resettable;
  std::string_view get(const void* value) const override { return of(value).text; }
  bool set(void* value, std::string to) const override {
    of(value).text = std::move(to);
    return true;
  }
};

class Moment final : public Resettable<describe::TimeType> {
 public:
  using Resettable::Resettable;
  const describe::Time& get(const void* value) const override { return of(value).time; }
  void set(void* value, describe::Time to) const override { of(value).time = std::move(to); }
};

class Structure final : public Resettable<describe::StructureType> {
 public:
  using Resettable::Resettable;
  std::span<const describe::Field> fields() const override { return fields_; }
  std::vector<describe::Field> fields_;
};

class List final : public Resettable<describe::ListType> {
 public:
  List(std::string_view name, const Type& element, std::optional<std::size_t> fixed = {})
      : Resettable(name), element_(element), fixed_(fixed) {}
  const Type& element() const override { return element_; }
  std::size_t size(const void* value) const override { return of(value).parts.size(); }
  bool resize(void* value, std::size_t size) const override {
    if (fixed_ && *fixed_ != size) return false;
    of(value).parts.resize(size, new_value(element_));
    return true;
  }
  void* at(void* value, std::size_t index) const override { return &of(value).parts[index]; }
  std::optional<std::size_t> fixed() const { return fixed_; }

 private:
  const Type& element_;
  std::optional<std::size_t> fixed_;
};

class Map final : public Resettable<describe::MapType> {
 public:
  Map(std::string_view name, const Type& key, const Type& mapped)
      : Resettable(name), key_(key), mapped_(mapped) {}
  const Type& key() const override { return key_; }
  const Type& mapped() const override { return mapped_; }
  std::size_t size(const void* value) const override { return of(value).entries.size(); }
  void for_each(const void* value,
                describe::FunctionRef<void(const void*, const void*)> visit) const override {
    for (const auto& entry : of(value).entries) visit(&entry.second.first, &entry.second.second);
  }
  Place place(void* value, describe::FunctionRef<void(void*)> fill) const override {
    Value key = new_value(key_);
    fill(&key);
    std::string text;
    detail::append_text(key_, &key, text);
    const auto [entry, inserted] = of(value).entries.try_emplace(text, std::move(key), new_value(mapped_));
    return {&entry->second.second, inserted};
  }
  void erase_if(void* value, describe::FunctionRef<bool(const void*)> condition) const override {
    std::erase_if(of(value).entries, [&](const auto& entry) { return condition(&entry.second.first); });
  }

 private:
  const Type& key_;
  const Type& mapped_;
};

class Pointer final : public Resettable<describe::PointerType> {
 public:
  Pointer(std::string_view name, const Type& target) : Resettable(name), target_(target) {}
  const Type& target() const override { return target_; }
  void* get(void* value) const override { return of(value).parts.empty() ? nullptr : of(value).parts.data(); }
  void* emplace(void* value) const override {
    of(value).parts = {new_value(target_)};
    return of(value).parts.data();
  }

 private:
  const Type& target_;
};

void set_recursion(describe::Field& field, std::string_view words) {
  for (const std::string& word : split(words, ',')) {
    if (word.starts_with("depth")) {
      const auto sides = split(word, '=');
      const auto depth = sides.size() == 2 ? describe::read_integer(sides[1]) : std::nullopt;
      if (!depth) field.scopes = describe::Scopes::invalid;
      if (depth) field.depth = static_cast<std::int32_t>(*depth);
    } else if (word == "follow" || word == "nofollow") {
      field.follow = word == "follow" ? describe::Field::Follow::yes : describe::Field::Follow::no;
    } else if (word == "skip-encode") {
      field.skip_encode = true;
    } else if (word == "skip-decode") {
      field.skip_decode = true;
    }
  }
}

std::string_view text_or(const json::object& object, std::string_view name, std::string_view otherwise) {
  const auto* found = object.if_contains(name);
  return found != nullptr ? std::string_view(found->as_string()) : otherwise;
}

describe::Field make_field(const json::object& description, Types& types) {
  describe::Field field;
  field.name = types.keep(std::string_view(description.at("name").as_string()));
  field.key = field.name;
  const auto* tag = description.if_contains("tag");
  if (tag == nullptr || text_or(tag->as_object(), "vic", "").empty()) return field;
  const json::object& tags = tag->as_object();
  field.scopes = scopes_from_words(split(text_or(tags, "scope", ""), ','));
  if (const auto key = text_or(tags, "key", ""); !key.empty()) field.key = types.keep(key);
  if (const auto recurse = text_or(tags, "recurse", ""); !recurse.empty()) set_recursion(field, recurse);
  return field;
}

}  // namespace

describe::Scopes scopes_from_words(const std::vector<std::string>& words) {
  const bool none = std::all_of(words.begin(), words.end(), [](const auto& word) { return word.empty(); });
  if (none) return describe::scope::hidden | describe::scope::read_only;
  describe::Scopes scopes = describe::Scopes::none;
  for (const std::string& word : words) scopes = scopes | describe::scope_from_word(word);
  return has(scopes, describe::Scopes::invalid) ? describe::Scopes::invalid : scopes;
}

const Type* Types::make(const json::value& description) {
  if (description.is_string()) return from_word(description.as_string());
  const json::object& object = description.as_object();
  const auto add = [&](auto type) {
    types_.push_back(std::move(type));
    return types_.back().get();
  };
  if (const auto* name = object.if_contains("ref")) return named(name->as_string());
  if (const auto* fields = object.if_contains("struct")) return structure(*fields, "structure");
  if (const auto* target = object.if_contains("ptr")) {
    const Type* type = make(*target);
    return type != nullptr ? add(std::make_unique<Pointer>("pointer", *type)) : nullptr;
  }
  if (const auto* element = object.if_contains("slice")) {
    const Type* type = make(*element);
    if (type == nullptr) return nullptr;
    if (type->name() == "uint8") return add(std::make_unique<ByteString>("bytes"));
    return add(std::make_unique<List>("list", *type));
  }
  if (const auto* element = object.if_contains("array")) {
    const Type* type = make(*element);
    const auto size = static_cast<std::size_t>(object.at("len").as_int64());
    return type != nullptr ? add(std::make_unique<List>("array", *type, size)) : nullptr;
  }
  if (const auto* map = object.if_contains("map")) {
    const Type* key = make(map->as_array()[0]);
    const Type* mapped = make(map->as_array()[1]);
    return key != nullptr && mapped != nullptr ? add(std::make_unique<Map>("map", *key, *mapped)) : nullptr;
  }
  return nullptr;
}

const Type* Types::named(std::string_view name) {
  if (const auto found = named_.find(name); found != named_.end()) return found->second;
  const json::value& description = descriptions_.at(name);
  const auto* fields = description.is_object() ? description.as_object().if_contains("struct") : nullptr;
  if (fields != nullptr) return structure(*fields, name);
  if (!open_.insert(name).second) throw std::runtime_error("a type that contains itself without a structure");
  const Type* type = make(description);
  open_.erase(name);
  return named_.emplace(name, type).first->second;
}

const Type* Types::structure(const json::value& fields, std::string_view name) {
  auto owned = std::make_unique<Structure>(keep(name));
  Structure* type = owned.get();
  types_.push_back(std::move(owned));
  // Known before its fields are: it may contain itself.
  if (name != "structure") named_.emplace(name, type);
  for (const json::value& one : fields.as_array()) {
    const json::object& description = one.as_object();
    if (description.contains("unexported")) continue;
    describe::Field field = make_field(description, *this);
    field.type = make(description.at("type"));
    if (field.type == nullptr) continue;
    field.slot = type->fields_.size();
    field.locate = [](const describe::Field& self, void* object) -> void* {
      return &of(object).parts[self.slot];
    };
    type->fields_.push_back(field);
  }
  return type;
}

const Type* Types::from_word(std::string_view word) {
  if (const auto found = named_.find(word); found != named_.end()) return found->second;
  const auto digits = word.find_first_of("0123456789");
  const int bits = digits == word.npos ? 64 : std::stoi(std::string(word.substr(digits)));
  const std::string_view kept = keep(word);
  std::unique_ptr<Type> type;
  if (word == "bool") type = std::make_unique<Boolean>(kept);
  if (word == "string") type = std::make_unique<Text>(kept);
  if (word == "time") type = std::make_unique<Moment>(kept);
  if (word.starts_with("int")) type = std::make_unique<Integer>(kept, bits);
  if (word.starts_with("uint")) type = std::make_unique<Unsigned>(kept, bits);
  if (word.starts_with("float")) type = std::make_unique<Floating>(kept, bits == 32);
  if (!type) throw std::runtime_error("the vector file has an unknown type: " + std::string(word));
  types_.push_back(std::move(type));
  return named_.emplace(word, types_.back().get()).first->second;
}

Value new_value(const Type& type) {
  Value value;
  if (type.kind() == Kind::structure) {
    for (const auto& field : static_cast<const Structure&>(type).fields_)
      value.parts.push_back(new_value(*field.type));
  }
  if (type.kind() == Kind::list) {
    const auto& list = static_cast<const List&>(type);
    if (list.fixed()) value.parts.resize(*list.fixed(), new_value(list.element()));
  }
  return value;
}

namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

describe::Time read_moment(const json::object& object) {
  describe::Time time;
  time.seconds = object.at("unix").as_int64();
  time.nanoseconds = static_cast<std::int32_t>(object.at("nsec").as_int64());
  time.offset = static_cast<std::int32_t>(object.at("offset").as_int64());
  time.zone = object.at("zone").as_string();
  return time;
}

std::uint64_t to_unsigned(const json::value& value) {
  return value.is_uint64() ? value.as_uint64() : static_cast<std::uint64_t>(value.as_int64());
}

}  // namespace

Value read_value(const Type& type, const json::value& from) {
  Value value = new_value(type);
  if (from.is_null()) return value;
  switch (type.kind()) {
    case Kind::boolean:
      value.boolean = from.as_bool();
      break;
    case Kind::integer:
      value.integer = from.as_int64();
      break;
    case Kind::unsigned_integer:
      value.number = to_unsigned(from);
      break;
    case Kind::floating:
      static_cast<const Floating&>(type).set(&value,
                                             std::strtod(from.at("$float").as_string().c_str(), nullptr));
      break;
    case Kind::text:
      value.text = from.as_string();
      break;
    case Kind::bytes:
      value.text = from_hex(from.at("$hex").as_string());
      break;
    case Kind::time:
      value.time = read_moment(from.at("$time").as_object());
      break;
    case Kind::structure:
      for (const auto& field : static_cast<const Structure&>(type).fields_) {
        value.parts[field.slot] = read_value(*field.type, from.at(field.name));
      }
      break;
    case Kind::list: {
      const auto& list = static_cast<const List&>(type);
      value.parts.clear();
      for (const auto& element : from.as_array()) value.parts.push_back(read_value(list.element(), element));
      break;
    }
    case Kind::map: {
      const auto& map = static_cast<const Map&>(type);
      for (const auto& entry : from.at("$map").as_array()) {
        const Value key = read_value(map.key(), entry.at(0));
        const auto place = map.place(&value, [&](void* to) { of(to) = key; });
        of(place.mapped) = read_value(map.mapped(), entry.at(1));
      }
      break;
    }
    case Kind::pointer:
      value.parts = {read_value(static_cast<const Pointer&>(type).target(), from.at("$ptr"))};
      break;
    case Kind::enumeration:
    case Kind::variant:
      throw std::runtime_error("the vector file has no such kind");
  }
  return value;
}

namespace {

/// Nothing that is there cannot be told from nothing.
bool is_empty_structure(const Type& type) {
  return type.kind() == Kind::structure && static_cast<const Structure&>(type).fields_.empty();
}

bool equal_parts(const Type& element, const Value& a, const Value& b) {
  return std::equal(a.parts.begin(), a.parts.end(), b.parts.begin(), b.parts.end(),
                    [&](const Value& x, const Value& y) { return equal(element, x, y); });
}

}  // namespace

bool equal(const Type& type, const Value& a, const Value& b) {
  switch (type.kind()) {
    case Kind::structure:
      return std::all_of(static_cast<const Structure&>(type).fields_.begin(),
                         static_cast<const Structure&>(type).fields_.end(), [&](const auto& field) {
                           return equal(*field.type, a.parts[field.slot], b.parts[field.slot]);
                         });
    case Kind::list:
      return equal_parts(static_cast<const List&>(type).element(), a, b);
    case Kind::pointer: {
      const Type& target = static_cast<const Pointer&>(type).target();
      return is_empty_structure(target) || equal_parts(target, a, b);
    }
    case Kind::map:
      return std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(),
                        [&](const auto& x, const auto& y) {
                          return x.first == y.first && equal(static_cast<const Map&>(type).mapped(),
                                                             x.second.second, y.second.second);
                        });
    case Kind::floating:
      return std::bit_cast<std::uint64_t>(a.floating) == std::bit_cast<std::uint64_t>(b.floating) ||
             (std::isnan(a.floating) && std::isnan(b.floating));
    default:
      return a.boolean == b.boolean && a.integer == b.integer && a.number == b.number && a.text == b.text &&
             a.time == b.time;
  }
}

void drop_unstored(const Type& type, Value& value) {
  if (type.kind() == Kind::structure) {
    for (const auto& field : static_cast<const Structure&>(type).fields_) {
      Value& part = value.parts[field.slot];
      if (field.depth == 0 || field.skip_encode || field.skip_decode) part = new_value(*field.type);
      drop_unstored(*field.type, part);
    }
  } else if (type.kind() == Kind::list || type.kind() == Kind::pointer) {
    const bool list = type.kind() == Kind::list;
    const Type& inner =
        list ? static_cast<const List&>(type).element() : static_cast<const Pointer&>(type).target();
    for (Value& part : value.parts) drop_unstored(inner, part);
  } else if (type.kind() == Kind::map) {
    for (auto& entry : value.entries)
      drop_unstored(static_cast<const Map&>(type).mapped(), entry.second.second);
  }
}

}  // namespace berth::extraconfig::vectors
