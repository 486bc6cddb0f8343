#include "extraconfig/calculate.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "describe/text.hpp"
#include "extraconfig/field_keys.hpp"
#include "extraconfig/map_keys.hpp"
#include "extraconfig/scalar.hpp"

namespace berth::extraconfig {
namespace {

using describe::Kind;
using describe::Type;

struct Part {
  std::string text;
  bool all = false;  ///< an unquoted '*'
};

[[noreturn]] void throw_bad_path(std::string_view path, std::string_view reason) {
  throw Error(Code::invalid_argument, "path \"{}\": {}", printable(path, 256), reason);
}

/// Splits a path; `["a.b"]` and `[3]` are parts too.
class PathReader {
 public:
  explicit PathReader(std::string_view path) : path_(path), rest_(path) {}

  std::vector<Part> read() {
    std::vector<Part> parts;
    if (rest_.empty()) return parts;
    if (rest_.front() != '[') parts.push_back(plain(".["));
    while (!rest_.empty()) {
      const bool bracket = rest_.front() == '[';
      if (!bracket && rest_.front() != '.') throw_bad_path(path_, "a bracket is followed by '.' or '['");
      rest_.remove_prefix(1);
      parts.push_back(bracket ? bracketed() : plain(".["));
    }
    return parts;
  }

 private:
  Part plain(std::string_view ends) {
    const std::string_view text = rest_.substr(0, rest_.find_first_of(ends));
    rest_.remove_prefix(text.size());
    return {std::string(text), text == "*"};
  }
  Part bracketed() {
    Part part = rest_.starts_with('"') ? quoted() : plain("]");
    if (!rest_.starts_with(']')) throw_bad_path(path_, "a bracket is not closed");
    rest_.remove_prefix(1);
    return part;
  }
  Part quoted() {
    Part part;
    for (rest_.remove_prefix(1); !rest_.starts_with('"'); rest_.remove_prefix(1)) {
      if (rest_.starts_with('\\')) rest_.remove_prefix(1);
      if (rest_.empty()) throw_bad_path(path_, "a quotation is not closed");
      part.text += rest_.front();
    }
    rest_.remove_prefix(1);
    return part;
  }

  std::string_view path_;
  std::string_view rest_;
};

class Calculation {
 public:
  Calculation(std::string_view path, std::vector<Part> parts) : path_(path), parts_(std::move(parts)) {}

  void walk(const Type& type, const void* value, const std::string& key, std::size_t next) {
    if (next == parts_.size()) {
      keys_.push_back(key);
      return;
    }
    switch (type.kind()) {
      case Kind::pointer: {
        const auto& pointer = static_cast<const describe::PointerType&>(type);
        const void* target = value != nullptr ? pointer.get(value) : nullptr;
        return walk(pointer.target(), target, key, next);
      }
      case Kind::structure:
        return structure(static_cast<const describe::StructureType&>(type), value, key, next);
      case Kind::map:
        return map(static_cast<const describe::MapType&>(type), value, key, next);
      case Kind::list:
        return list(static_cast<const describe::ListType&>(type), value, key, next);
      case Kind::bytes:
        return walk_end(key, next);
      default:
        throw_bad_path(path_,
                       fmt::format("\"{}\" is below a single value", printable(parts_[next].text, 64)));
    }
  }

  std::vector<std::string> take() { return std::move(keys_); }

 private:
  /// Bytes have one key, whichever of them is asked for.
  void walk_end(const std::string& key, std::size_t next) {
    if (next + 1 != parts_.size()) throw_bad_path(path_, "there is nothing below a byte");
    keys_.push_back(key);
  }

  void structure(const describe::StructureType& type, const void* value, const std::string& key,
                 std::size_t next) {
    const Part& part = parts_[next];
    bool found = false;
    FieldKeys keys(key);
    for (const describe::Field& field : type.fields()) {
      if (!part.all && field.name != part.text) continue;
      found = true;
      const std::string& field_key = keys.of(field);
      if (field_key.empty()) continue;
      walk(*field.type, value != nullptr ? field.in(value) : nullptr, field_key, next + 1);
    }
    if (!found && !part.all) throw_missing(part, type);
  }

  void map(const describe::MapType& type, const void* value, const std::string& key, std::size_t next) {
    const Part& part = parts_[next];
    MapKeys entries;
    if (value != nullptr) {
      type.for_each(value, [&](const void* map_key, const void* mapped) {
        std::string text;
        detail::append_text(type.key(), map_key, text);
        entries.add(text, mapped);
      });
    } else if (!part.all) {
      entries.add(part.text, nullptr);
    }
    entries.settle(detail::map_value(type.mapped()), detail::is_read_write_style(key));
    bool found = false;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (!part.all && entries.key(i) != part.text) continue;
      found = true;
      walk(type.mapped(), entries.mapped(i), append_key(key, "|", entries.text(i)), next + 1);
    }
    if (!found && !part.all) throw_missing(part, type);
  }

  void list(const describe::ListType& type, const void* value, const std::string& key, std::size_t next) {
    const Part& part = parts_[next];
    const std::size_t size = value != nullptr ? type.size(value) : 0;
    std::optional<std::uint64_t> index;
    if (!part.all) {
      index = describe::read_unsigned(part.text);
      if (!index) throw_bad_path(path_, fmt::format("\"{}\" is not an index", printable(part.text, 64)));
      if (value != nullptr && *index >= size) throw_missing(part, type);
    }
    if (detail::is_scalar(type.element().kind()) && !is_indexed(type, value)) {
      return walk_end(append_key(key, {}, std::string_view(&kValuesMark, 1)), next);
    }
    for (std::size_t i = index.value_or(0); i < (index ? *index + 1 : size); ++i) {
      const void* element = value != nullptr ? type.at(value, i) : nullptr;
      walk(type.element(), element, append_key(key, "|", std::to_string(i)), next + 1);
    }
  }

  static bool is_indexed(const describe::ListType& type, const void* value) {
    if (value == nullptr || type.element().kind() != Kind::text) return false;
    for (std::size_t i = 0; i < type.size(value); ++i) {
      const auto& text = static_cast<const describe::TextType&>(type.element());
      if (text.get(type.at(value, i)).find(kSeparator) != std::string_view::npos) return true;
    }
    return false;
  }

  [[noreturn]] void throw_missing(const Part& part, const Type& type) const {
    throw Error(Code::not_found, "path \"{}\": {} has no \"{}\"", printable(path_, 256), type.name(),
                printable(part.text, 64));
  }

  std::string_view path_;
  std::vector<Part> parts_;
  std::vector<std::string> keys_;
};

}  // namespace

std::vector<std::string> calculate_keys(const Type& type, const void* value, std::string_view path,
                                        std::string_view prefix) {
  check_prefix(prefix);
  Calculation calculation(path, PathReader(path).read());
  calculation.walk(type, value, std::string(prefix), 0);
  return calculation.take();
}

std::string calculate_key(const Type& type, const void* value, std::string_view path,
                          std::string_view prefix) {
  auto keys = calculate_keys(type, value, path, prefix);
  if (keys.size() != 1) throw_bad_path(path, fmt::format("it has {} keys, not one", keys.size()));
  return std::move(keys.front());
}

}  // namespace berth::extraconfig
