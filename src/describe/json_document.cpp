#include "describe/json_document.hpp"

#include <algorithm>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::describe::detail {
namespace {

using boost::json::error_code;

constexpr std::size_t kDeepest = 128;

/// Builds nodes from the parser's events.
class Builder {
 public:
  constexpr static std::size_t max_object_size = std::size_t(-1);
  constexpr static std::size_t max_array_size = std::size_t(-1);
  constexpr static std::size_t max_key_size = std::size_t(-1);
  constexpr static std::size_t max_string_size = std::size_t(-1);

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return open(JsonNode::Kind::object); }
  bool on_object_end(std::size_t, error_code& error) {
    twice_ = name_twice(*open_.back());
    if (!twice_.empty()) {
      error = boost::json::error::syntax;
      return false;
    }
    open_.pop_back();
    return true;
  }
  bool on_array_begin(error_code&) { return open(JsonNode::Kind::list); }
  bool on_array_end(std::size_t, error_code&) {
    open_.pop_back();
    return true;
  }
  bool on_key_part(std::string_view part, std::size_t, error_code&) { return collect(part); }
  bool on_key(std::string_view part, std::size_t, error_code&) {
    collect(part);
    name_ = std::exchange(text_, {});
    return true;
  }
  bool on_string_part(std::string_view part, std::size_t, error_code&) { return collect(part); }
  bool on_string(std::string_view part, std::size_t, error_code&) {
    collect(part);
    return add_text(JsonNode::Kind::text);
  }
  bool on_number_part(std::string_view part, error_code&) { return collect(part); }
  bool on_int64(std::int64_t, std::string_view part, error_code&) { return add_number(part); }
  bool on_uint64(std::uint64_t, std::string_view part, error_code&) { return add_number(part); }
  bool on_double(double, std::string_view part, error_code&) { return add_number(part); }
  bool on_bool(bool value, error_code&) {
    JsonNode node;
    node.kind = JsonNode::Kind::boolean;
    node.boolean = value;
    place(std::move(node));
    return true;
  }
  bool on_null(error_code&) {
    place({});
    return true;
  }
  bool on_comment_part(std::string_view, error_code&) { return true; }
  bool on_comment(std::string_view, error_code&) { return true; }

  JsonNode take() { return std::move(root_); }
  /// The name that made the parser stop, quoted; empty when it was something else.
  const std::string& twice() const { return twice_; }

 private:
  /// Quoted; empty when there is none.
  static std::string name_twice(const JsonNode& object) {
    std::vector<std::string_view> names;
    for (const auto& member : object.members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    std::string result;
    if (twice != names.end()) append_json_text(*twice, result);
    return result;
  }
  bool collect(std::string_view part) {
    text_ += part;
    return true;
  }
  bool add_number(std::string_view part) {
    collect(part);
    return add_text(JsonNode::Kind::number);
  }
  bool add_text(JsonNode::Kind kind) {
    JsonNode node;
    node.kind = kind;
    node.text = std::exchange(text_, {});
    place(std::move(node));
    return true;
  }
  bool open(JsonNode::Kind kind) {
    JsonNode node;
    node.kind = kind;
    open_.push_back(&place(std::move(node)));
    return true;
  }
  JsonNode& place(JsonNode node) {
    if (open_.empty()) return root_ = std::move(node);
    JsonNode& parent = *open_.back();
    if (parent.kind == JsonNode::Kind::list) return parent.elements.emplace_back(std::move(node));
    parent.members.push_back({std::exchange(name_, {}), std::move(node)});
    return parent.members.back().node;
  }

  JsonNode root_;
  // Only the innermost open node grows, so these stay valid.
  std::vector<JsonNode*> open_;
  std::string name_;
  std::string text_;
  std::string twice_;
};

}  // namespace

const JsonNode* JsonNode::find(std::string_view name) const {
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const auto& one) { return one.name == name; });
  return found != members.end() ? &found->node : nullptr;
}

JsonNode parse_json(std::string_view text) {
  boost::json::parse_options options;
  options.max_depth = kDeepest;
  boost::json::basic_parser<Builder> parser(options);
  error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  if (!error && read < text.size()) error = boost::json::error::extra_data;
  if (const auto& twice = parser.handler().twice(); !twice.empty()) {
    throw Error(Code::invalid_argument, "the member {} is twice in one object", printable(twice, 128));
  }
  if (error) throw Error(Code::invalid_argument, "byte {} of the JSON document: {}", read, error.message());
  return parser.handler().take();
}

void append_json_text(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
      case '\\':
        (out += '\\') += c;
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) {
          out += c;
        } else {
          ((out += "\\u00") += kDigits[static_cast<unsigned char>(c) >> 4]) +=
              kDigits[static_cast<unsigned char>(c) & 15];
        }
    }
  }
  out += '"';
}

}  // namespace berth::describe::detail
