#include <string>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/text.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/field_keys.hpp"
#include "extraconfig/level_stack.hpp"
#include "extraconfig/map_keys.hpp"
#include "extraconfig/scalar.hpp"

namespace berth::extraconfig {
namespace {

using describe::Kind;
using describe::Recursion;
using describe::Type;
using detail::LevelStack;

class Encoder {
 public:
  explicit Encoder(Sink& sink) : sink_(sink) {}

  void value(const Type& type, const void* value, const std::string& key, Recursion state);

 private:
  void single(const Type& type, const void* value, const std::string& key);
  void structure(const describe::StructureType& type, const void* value, const std::string& key,
                 Recursion state);
  void list(const describe::ListType& type, const void* value, const std::string& key, Recursion state);
  bool joined_values(const describe::ListType& type, const void* value, const std::string& key);
  void map(const describe::MapType& type, const void* value, const std::string& key, Recursion state);
  void pointer(const describe::PointerType& type, const void* value, const std::string& key, Recursion state);
  void mark_empty(const Type& target, const void* value, const std::string& key);
  void variant(const describe::VariantType& type, const void* value, const std::string& key, Recursion state);

  void text_of(const Type& type, const void* value, const std::string& key);
  void put(const std::string& key, std::string_view value) {
    ++written_;
    sink_.put(key, value);
  }

  Sink& sink_;
  LevelStack<std::string> keys_;
  LevelStack<FieldKeys> field_keys_;
  LevelStack<MapKeys> map_keys_;
  std::string text_;
  std::size_t written_ = 0;
};

void Encoder::value(const Type& type, const void* value, const std::string& key, Recursion state) {
  if (state.depth == 0 || state.skip_encode) return;
  --state.depth;
  switch (type.kind()) {
    case Kind::structure:
      return structure(static_cast<const describe::StructureType&>(type), value, key, state);
    case Kind::list:
      return list(static_cast<const describe::ListType&>(type), value, key, state);
    case Kind::map:
      return map(static_cast<const describe::MapType&>(type), value, key, state);
    case Kind::pointer:
      return pointer(static_cast<const describe::PointerType&>(type), value, key, state);
    case Kind::variant:
      return variant(static_cast<const describe::VariantType&>(type), value, key, state);
    case Kind::bytes:
      // The text of bytes counts as a step of its own.
      if (state.depth == 0 || static_cast<const describe::BytesType&>(type).get(value).empty()) return;
      return single(type, value, key);
    default:
      return single(type, value, key);
  }
}

void Encoder::single(const Type& type, const void* value, const std::string& key) {
  if (type.kind() == Kind::text) return put(key, static_cast<const describe::TextType&>(type).get(value));
  text_.clear();
  text_of(type, value, key);
  put(key, text_);
}

void Encoder::text_of(const Type& type, const void* value, const std::string& key) {
  if (detail::append_text(type, value, text_)) return;
  throw Error(Code::invalid_argument, "key \"{}\": the value of type {} cannot be written as text",
              printable(key, 512), type.name());
}

void Encoder::structure(const describe::StructureType& type, const void* value, const std::string& key,
                        Recursion state) {
  const LevelStack<FieldKeys>::Level keys(field_keys_);
  keys->enter(key);
  for (const describe::Field& field : type.fields()) {
    const std::string& field_key = keys->of(field);
    if (!field_key.empty()) this->value(*field.type, field.in(value), field_key, field.apply(state));
  }
}

void Encoder::list(const describe::ListType& type, const void* value, const std::string& key,
                   Recursion state) {
  const std::size_t size = type.size(value);
  if (size == 0) return;
  if (!detail::is_scalar(type.element().kind()) || !joined_values(type, value, key)) {
    const bool scalar = detail::is_scalar(type.element().kind());
    const LevelStack<std::string>::Level element_key(keys_);
    for (std::size_t i = 0; i < size; ++i) {
      append_key(key, "|", std::to_string(i), *element_key);
      if (scalar) {
        single(type.element(), type.at(value, i), *element_key);
      } else {
        this->value(type.element(), type.at(value, i), *element_key, state);
      }
    }
  }
  text_.clear();
  describe::append_unsigned(size - 1, text_);
  put(key, text_);
}

/// False, and nothing written, when an element contains the separator.
bool Encoder::joined_values(const describe::ListType& type, const void* value, const std::string& key) {
  const std::size_t size = type.size(value);
  text_.clear();
  for (std::size_t i = 0; i < size; ++i) {
    if (i > 0) text_ += kSeparator;
    const std::size_t begin = text_.size();
    text_of(type.element(), type.at(value, i), key);
    if (text_.find(kSeparator, begin) != text_.npos) return false;
  }
  const LevelStack<std::string>::Level values_key(keys_);
  append_key(key, {}, std::string_view(&kValuesMark, 1), *values_key);
  put(*values_key, text_);
  return true;
}

void Encoder::map(const describe::MapType& type, const void* value, const std::string& key, Recursion state) {
  if (type.size(value) == 0) return;
  const LevelStack<MapKeys>::Level entries(map_keys_);
  entries->clear();
  type.for_each(value, [&](const void* entry_key, const void* mapped) {
    text_.clear();
    text_of(type.key(), entry_key, key);
    entries->add(text_, mapped);
  });
  entries->settle(detail::map_value(type.mapped()), detail::is_read_write_style(key));
  const LevelStack<std::string>::Level entry_key(keys_);
  for (std::size_t i = 0; i < entries->size(); ++i) {
    append_key(key, "|", entries->text(i), *entry_key);
    this->value(type.mapped(), entries->mapped(i), *entry_key, state);
  }
  text_.clear();
  for (std::size_t i = 0; i < entries->size(); ++i) {
    if (i > 0) text_ += kSeparator;
    text_ += entries->text(i);
  }
  put(key, text_);
}

void Encoder::pointer(const describe::PointerType& type, const void* value, const std::string& key,
                      Recursion state) {
  const void* target = type.get(value);
  if (target == nullptr || !state.follow) return;
  const std::size_t before = written_;
  this->value(type.target(), target, key, state);
  if (written_ == before && state.depth < 0) mark_empty(type.target(), target, key);
}

/// Something that is there and writes nothing would come back as missing. (A bounded walk never marks.)
void Encoder::mark_empty(const Type& target, const void* value, const std::string& key) {
  switch (target.kind()) {
    case Kind::list:
      return put(key, "-1");
    case Kind::map:
      return put(key, "");
    case Kind::bytes:
      if (static_cast<const describe::BytesType&>(target).get(value).empty()) put(key, "");
      return;
    case Kind::structure:
      if (!static_cast<const describe::StructureType&>(target).fields().empty()) put(key, "");
      return;
    default:
      return;
  }
}

void Encoder::variant(const describe::VariantType& type, const void* value, const std::string& key,
                      Recursion state) {
  const std::size_t index = type.index(value);
  const LevelStack<std::string>::Level alternative_key(keys_);
  append_key(key, "|", type.names()[index], *alternative_key);
  this->value(type.alternative(index), type.get(value), *alternative_key, state);
  put(key, type.names()[index]);
}

}  // namespace

void encode(const Type& type, const void* value, Sink& sink, std::string_view prefix) {
  check_prefix(prefix);
  Encoder(sink).value(type, value, std::string(prefix), Recursion());
}

}  // namespace berth::extraconfig
