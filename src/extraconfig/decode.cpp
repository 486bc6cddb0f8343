#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
using detail::throw_corrupt;

/// Elements that a source may claim without data for them: a bound on what a short damaged source allocates.
constexpr std::size_t kElementsWithoutData = 1 << 16;
constexpr std::size_t kElementsAtOnce = 16;
constexpr std::int64_t kLongestList = 1 << 20;
constexpr int kDeepest = 256;
constexpr std::size_t kNone = SIZE_MAX;

class Decoder {
 public:
  Decoder(Source& source, Absent absent) : source_(source), absent_(absent) {}

  /// Whether anything was found for the value.
  bool value(const Type& type, void* value, const std::string& key, Recursion state);

 private:
  bool single(const Type& type, void* value, const std::string& key);
  bool structure(const describe::StructureType& type, void* value, const std::string& key, Recursion state);
  bool field(const describe::Field& field, void* object, FieldKeys& keys, Recursion state);
  bool list(const describe::ListType& type, void* value, const std::string& key, Recursion state);
  std::size_t list_size(const std::string& key, std::string_view text);
  void resize(const describe::ListType& type, void* value, std::size_t size, const std::string& key);
  bool joined_values(const describe::ListType& type, void* value, const std::string& key, std::size_t size);
  void elements(const describe::ListType& type, void* value, const std::string& key, std::size_t size,
                Recursion state);
  bool map(const describe::MapType& type, void* value, const std::string& key, Recursion state);
  void entries(const describe::MapType& type, void* value, const std::string& key, std::string_view index,
               Recursion state);
  static void set_map_key(const describe::MapType& type, void* map_key, std::string_view text,
                          const std::string& key);
  static void drop_unlisted(const describe::MapType& type, void* value,
                            const std::vector<const void*>& listed);
  bool pointer(const describe::PointerType& type, void* value, const std::string& key, Recursion state);
  bool variant(const describe::VariantType& type, void* value, const std::string& key, Recursion state);
  bool asks_first(const Type& target, bool was_there) const;
  bool nothing(const Type& type, void* value);
  std::optional<std::string_view> get(const std::string& key) {
    const auto text = source_.get(key);
    reads_ += text ? 1 : 0;
    return text;
  }
  bool any_below(const std::string& key);
  void part(const Type& type, void* value, const std::string& key, Recursion state, bool is_new);

  Source& source_;
  Absent absent_;
  LevelStack<std::string> keys_;
  LevelStack<FieldKeys> field_keys_;
  LevelStack<std::vector<const void*>> listed_;
  std::size_t reads_ = 0;         ///< that found something
  std::size_t tried_at_ = kNone;  ///< how many they were when the innermost target was tried
  std::size_t without_data_ = 0;
  int nesting_ = 0;
};

bool Decoder::value(const Type& type, void* value, const std::string& key, Recursion state) {
  if (state.depth == 0 || state.skip_decode) return false;
  --state.depth;
  if (nesting_ == kDeepest) throw_corrupt(key, "nested too deeply");
  ++nesting_;
  bool found = false;
  switch (type.kind()) {
    case Kind::structure:
      found = structure(static_cast<const describe::StructureType&>(type), value, key, state);
      break;
    case Kind::list:
      found = list(static_cast<const describe::ListType&>(type), value, key, state);
      break;
    case Kind::map:
      found = map(static_cast<const describe::MapType&>(type), value, key, state);
      break;
    case Kind::pointer:
      found = pointer(static_cast<const describe::PointerType&>(type), value, key, state);
      break;
    case Kind::variant:
      found = variant(static_cast<const describe::VariantType&>(type), value, key, state);
      break;
    default:
      found = single(type, value, key);
  }
  --nesting_;
  return found;
}

bool Decoder::nothing(const Type& type, void* value) {
  if (absent_ == Absent::reset) type.reset(value);
  return false;
}

bool Decoder::single(const Type& type, void* value, const std::string& key) {
  const auto text = get(key);
  if (!text) return nothing(type, value);
  if (type.kind() == Kind::text) {
    static_cast<const describe::TextType&>(type).set(value, *text);
    return true;
  }
  const std::string_view reason = detail::set_text(type, value, *text);
  if (!reason.empty()) throw_corrupt(key, reason);
  return true;
}

bool Decoder::structure(const describe::StructureType& type, void* value, const std::string& key,
                        Recursion state) {
  const LevelStack<FieldKeys>::Level keys(field_keys_);
  keys->enter(key);
  bool found = false;
  for (const describe::Field& field : type.fields()) found |= this->field(field, value, *keys, state);
  return found;
}

bool Decoder::field(const describe::Field& field, void* object, FieldKeys& keys, Recursion state) {
  const std::string& key = keys.of(field);
  if (key.empty()) return false;
  if (this->value(*field.type, field.in(object), key, field.apply(state))) return true;
  return !field.also.empty() &&
         this->value(*field.type, field.in(object), keys.second_of(field), field.apply(state));
}

/// An element or a map's value. A new one that has to have data and has none is damage.
void Decoder::part(const Type& type, void* value, const std::string& key, Recursion state, bool is_new) {
  if (this->value(type, value, key, state)) return;
  if (!is_new || state.depth == 0 || state.skip_decode) return;
  if (detail::is_scalar(type.kind()) || type.kind() == Kind::time || type.kind() == Kind::variant) {
    throw_corrupt(key, "the value is missing, but it is listed");
  }
  if (++without_data_ > kElementsWithoutData) throw_corrupt(key, "too many listed values are missing");
}

std::size_t Decoder::list_size(const std::string& key, std::string_view text) {
  const auto last = describe::read_integer(text);
  if (!last || *last < -1) throw_corrupt(key, "not the index of a last element");
  if (*last >= kLongestList) throw_corrupt(key, "a list with too many elements");
  return static_cast<std::size_t>(*last + 1);
}

void Decoder::resize(const describe::ListType& type, void* value, std::size_t size, const std::string& key) {
  if (!type.resize(value, size)) throw_corrupt(key, "the list has a fixed length that is another one");
}

bool Decoder::list(const describe::ListType& type, void* value, const std::string& key, Recursion state) {
  const auto text = get(key);
  const bool scalar = detail::is_scalar(type.element().kind());
  if (!text) {
    if (scalar) joined_values(type, value, key, 0);
    return nothing(type, value);
  }
  const std::size_t size = list_size(key, *text);
  if (scalar && joined_values(type, value, key, size)) return true;
  elements(type, value, key, size, state);
  return true;
}

/// False when there is no joined text.
bool Decoder::joined_values(const describe::ListType& type, void* value, const std::string& key,
                            std::size_t size) {
  const LevelStack<std::string>::Level level(keys_);
  append_key(key, {}, std::string_view(&kValuesMark, 1), *level);
  const auto found = get(*level);
  if (!found) return false;
  const std::string_view text = *found;
  const auto separators = static_cast<std::size_t>(std::count(text.begin(), text.end(), kSeparator));
  if (size == 0 || separators + 1 != size)
    throw_corrupt(*level, "not as many values as the list has elements");
  resize(type, value, size, key);
  std::size_t begin = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t end = std::min(text.find(kSeparator, begin), text.size());
    const auto reason = detail::set_text(type.element(), type.at(value, i), text.substr(begin, end - begin));
    if (!reason.empty()) throw_corrupt(*level, reason);
    begin = end + 1;
  }
  return true;
}

void Decoder::elements(const describe::ListType& type, void* value, const std::string& key, std::size_t size,
                       Recursion state) {
  const std::size_t kept = std::min(size, type.size(value));
  const LevelStack<std::string>::Level level(keys_);
  const bool scalar = detail::is_scalar(type.element().kind());
  if (type.size(value) > size) resize(type, value, size, key);
  for (std::size_t i = 0; i < size; ++i) {
    if (type.size(value) == i) resize(type, value, std::min(size, i + kElementsAtOnce + i / 2), key);
    append_key(key, "|", std::to_string(i), *level);
    // Values of a scalar list are no step of the walk, in this form as in the joined one.
    part(type.element(), type.at(value, i), *level, scalar ? Recursion() : state, i >= kept || scalar);
  }
}

bool Decoder::map(const describe::MapType& type, void* value, const std::string& key, Recursion state) {
  const auto text = get(key);
  if (!text) return nothing(type, value);
  if (text->empty()) {
    type.reset(value);
    return true;
  }
  // Kept, as the source may forget it at its next call.
  const LevelStack<std::string>::Level index(keys_);
  *index = *text;
  entries(type, value, key, *index, state);
  return true;
}

void Decoder::entries(const describe::MapType& type, void* value, const std::string& key,
                      std::string_view index, Recursion state) {
  // Entries are known by where they are: keys of different texts can be equal, as 0 and -0 are.
  const LevelStack<std::vector<const void*>>::Level listed(listed_);
  listed->clear();
  const LevelStack<std::string>::Level level(keys_);
  for (std::size_t begin = 0, end = 0; begin <= index.size(); begin = end + 1) {
    end = std::min(index.find(kSeparator, begin), index.size());
    const std::string_view text = index.substr(begin, end - begin);
    const auto place = type.place(value, [&](void* map_key) { set_map_key(type, map_key, text, key); });
    listed->push_back(place.mapped);
    append_key(key, "|", text, *level);
    part(type.mapped(), place.mapped, *level, state, place.inserted);
  }
  std::sort(listed->begin(), listed->end());
  if (std::adjacent_find(listed->begin(), listed->end()) != listed->end()) {
    throw_corrupt(key, "a map key is there twice");
  }
  if (absent_ == Absent::reset) drop_unlisted(type, value, *listed);
}

void Decoder::set_map_key(const describe::MapType& type, void* map_key, std::string_view text,
                          const std::string& key) {
  const auto reason = text.starts_with('%') ? detail::set_text(type.key(), map_key, unescape_map_key(text))
                                            : detail::set_text(type.key(), map_key, text);
  if (reason.empty()) return;
  throw_corrupt(key, fmt::format("the map key \"{}\" is {}", printable(text, 128), reason));
}

void Decoder::drop_unlisted(const describe::MapType& type, void* value,
                            const std::vector<const void*>& listed) {
  std::vector<const void*> unlisted;
  type.for_each(value, [&](const void* map_key, const void* mapped) {
    if (!std::binary_search(listed.begin(), listed.end(), mapped)) unlisted.push_back(map_key);
  });
  type.erase_if(value, [&](const void* map_key) {
    return std::find(unlisted.begin(), unlisted.end(), map_key) != unlisted.end();
  });
}

bool Decoder::pointer(const describe::PointerType& type, void* value, const std::string& key,
                      Recursion state) {
  if (!state.follow) return false;
  const bool was_there = type.get(value) != nullptr;
  // Where the walk's bound ends it at the target, the format has a new target.
  if (state.depth == 0 || (state.depth == 1 && type.target().kind() == Kind::structure)) {
    if (!was_there) type.emplace(value);
    return true;
  }
  if (asks_first(type.target(), was_there) && !any_below(key)) return nothing(type, value);
  void* target = was_there ? type.get(value) : type.emplace(value);
  const std::size_t outer = std::exchange(tried_at_, reads_);
  bool found = this->value(type.target(), target, key, state);
  if (found && reads_ == tried_at_) found = any_below(key);
  if (!found && type.target().kind() == Kind::structure) found = get(key).has_value();
  tried_at_ = outer;
  if (!found && (!was_there || absent_ == Absent::reset)) type.reset(value);
  return found;
}

/// A new target is tried, and dropped when nothing is found for it, which is faster than to ask whether there
/// is anything. But a type that contains itself ends only where its data ends, so that a target within one
/// for which nothing was found so far is not tried.
bool Decoder::asks_first(const Type& target, bool was_there) const {
  const Kind kind = target.kind();
  const bool is_single = detail::is_scalar(kind) || kind == Kind::time || kind == Kind::bytes;
  return !is_single && (was_there || reads_ == tried_at_);
}

bool Decoder::variant(const describe::VariantType& type, void* value, const std::string& key,
                      Recursion state) {
  const auto text = get(key);
  if (!text) return nothing(type, value);
  const auto names = type.names();
  const auto found = std::find(names.begin(), names.end(), *text);
  if (found == names.end()) throw_corrupt(key, "not one of the known alternatives");
  const auto index = static_cast<std::size_t>(found - names.begin());
  const bool is_new = type.index(value) != index;
  const LevelStack<std::string>::Level level(keys_);
  append_key(key, "|", *found, *level);
  part(type.alternative(index), type.emplace(value, index), *level, state, is_new);
  return true;
}

bool Decoder::any_below(const std::string& key) {
  const Spellings spellings = spellings_below(key);
  return source_.any_below(spellings.hidden) || source_.any_below(spellings.read_only) ||
         source_.any_below(spellings.read_write);
}

}  // namespace

bool decode(Source& source, const Type& type, void* value, std::string_view prefix, Absent absent) {
  check_prefix(prefix);
  return Decoder(source, absent).value(type, value, std::string(prefix), Recursion());
}

}  // namespace berth::extraconfig
