#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "describe/type.hpp"

namespace berth::describe::detail {

/// Where a walk is, as `sessions["a"].cmd.args[2]`.
class JsonPath {
 public:
  struct MapKey {
    std::string_view text;
  };
  /// One part more, for the life of the object.
  class Step {
   public:
    Step(JsonPath& path, const std::string& member);
    Step(JsonPath& path, std::size_t index);
    Step(JsonPath& path, MapKey key);
    ~Step() { path_.text_.resize(size_); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    JsonPath& path_;
    std::size_t size_;
  };

  [[noreturn]] void fail(std::string_view reason) const;

 private:
  std::string text_;
};

/// The text of a map's key: numbers and truth values as in JSON.
std::string map_key_text(const Type& type, const void* key);
/// False when the text is none of the type.
bool set_map_key(const Type& type, void* key, std::string_view text);

}  // namespace berth::describe::detail
