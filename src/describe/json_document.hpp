#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace berth::describe::detail {

struct JsonMember;

/// A parsed document; numbers stay texts, so that none is rounded on the way.
struct JsonNode {
  enum class Kind { null, boolean, number, text, list, object };

  Kind kind = Kind::null;
  bool boolean = false;
  std::string text;  ///< of a text or number
  std::vector<JsonNode> elements;
  std::vector<JsonMember> members;

  const JsonNode* find(std::string_view name) const;
};

struct JsonMember {
  std::string name;
  JsonNode node;
};

/// Throws invalid-argument with the position of the fault, also for a name that is twice in an object.
JsonNode parse_json(std::string_view text);

void append_json_text(std::string_view text, std::string& out);

}  // namespace berth::describe::detail
