#include "cli/json_template.hpp"

#include <boost/json.hpp>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

namespace json = boost::json;

const json::value& find_member(const json::value& root, std::string_view path) {
  const json::value* value = &root;
  for (const std::string& name : split(path, '.')) {
    if (name.empty()) continue;  // before the first dot
    const json::object* object = value->if_object();
    const json::value* member = object != nullptr ? object->if_contains(name) : nullptr;
    if (member == nullptr) throw Error(Code::invalid_argument, "--format: there is no {}", printable(path));
    value = member;
  }
  return *value;
}

std::string evaluate(const json::value& root, std::string_view expression) {
  constexpr std::string_view kJson = "json ";
  const bool as_json = expression.starts_with(kJson);
  const std::string_view path = as_json ? trim(expression.substr(kJson.size())) : expression;
  if (!path.starts_with('.')) {
    throw Error(Code::invalid_argument, "--format: '{}' is neither .Path nor json .Path",
                printable(expression));
  }
  const json::value& value = find_member(root, path);
  return value.is_string() && !as_json ? printable(value.get_string()) : json::serialize(value);
}

}  // namespace

std::string fill_json_template(std::string_view text, std::string_view document) {
  json::error_code failure;
  const json::value root = json::parse({document.data(), document.size()}, failure);
  if (failure) throw Error(Code::corrupt, "not JSON: {}", failure.message());
  std::string result;
  while (true) {
    const std::size_t open = text.find("{{");
    result += text.substr(0, open);
    if (open == std::string_view::npos) return result;
    const std::size_t close = text.find("}}", open);
    if (close == std::string_view::npos)
      throw Error(Code::invalid_argument, "--format: '{{{{' without '}}}}'");
    result += evaluate(root, trim(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
}

}  // namespace berth::cli
