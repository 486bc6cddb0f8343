#include "launcher/http.hpp"

#include <boost/json.hpp>

#include "describe/text.hpp"

namespace berth::launcher {
namespace {

namespace json = boost::json;

json::array texts(const std::vector<std::string>& values) {
  json::array array;
  for (const std::string& value : values) array.emplace_back(value);
  return array;
}

std::vector<std::string> texts_in(const json::object& object, std::string_view name) {
  std::vector<std::string> values;
  const json::value* list = object.if_contains(name);
  if (list == nullptr) return values;
  if (!list->is_array()) throw Error(Code::invalid_argument, "{} must be a list", name);
  for (const json::value& value : list->get_array()) {
    if (!value.is_string()) throw Error(Code::invalid_argument, "{} must be a list of strings", name);
    values.emplace_back(value.get_string());
  }
  return values;
}

std::string text_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool flag_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

std::int32_t size_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) return 0;
  const std::int64_t number = value->get_int64();
  if (number < 0 || number > 65'535) throw Error(Code::invalid_argument, "{} is out of range", name);
  return static_cast<std::int32_t>(number);
}

json::object parse_object(std::string_view text) {
  boost::system::error_code failure;
  json::value value = json::parse(text, failure);
  if (failure || !value.is_object()) throw Error(Code::invalid_argument, "the body must be a JSON object");
  return std::move(value.get_object());
}

}  // namespace

unsigned http_status(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return 400;
    case Code::not_found:
      return 404;
    case Code::already_exists:
    case Code::wrong_state:
    case Code::conflict:
      return 409;
    case Code::busy:
      return 423;
    case Code::timeout:
      return 504;
    case Code::capacity:
      return 507;
    case Code::unsupported:
      return 501;
    case Code::unavailable:
      return 503;
    case Code::corrupt:
    case Code::internal:
      return 500;
  }
  return 500;
}

std::string error_body(const Error& error) {
  return json::serialize(json::object{{"code", to_string(error.code())}, {"message", error.what()}});
}

Error parse_error_body(std::string_view body) {
  const json::object object = parse_object(body);
  return Error(code_from_string(text_in(object, "code")), text_in(object, "message"));
}

std::string format_exec(const ExecRequest& request) {
  return json::serialize(json::object{{"command", texts(request.command)},
                                      {"environment", texts(request.environment)},
                                      {"working_directory", request.working_directory},
                                      {"user", request.user},
                                      {"tty", request.tty},
                                      {"open_stdin", request.open_stdin},
                                      {"columns", request.columns},
                                      {"rows", request.rows}});
}

ExecRequest parse_exec(std::string_view body) {
  const json::object object = parse_object(body);
  ExecRequest request;
  request.command = texts_in(object, "command");
  request.environment = texts_in(object, "environment");
  request.working_directory = text_in(object, "working_directory");
  request.user = text_in(object, "user");
  request.tty = flag_in(object, "tty");
  request.open_stdin = flag_in(object, "open_stdin");
  request.columns = size_in(object, "columns");
  request.rows = size_in(object, "rows");
  if (request.command.empty()) throw Error(Code::invalid_argument, "an exec needs a command");
  return request;
}

std::string format_copy(const CopyRequest& request) {
  std::string path;
  describe::append_base64(request.path, path);
  return json::serialize(json::object{{"verb", link::archive::to_string(request.verb)},
                                      {"path", path},
                                      {"keep_owners", request.keep_owners}});
}

CopyRequest parse_copy(std::string_view body) {
  const json::object object = parse_object(body);
  CopyRequest request;
  request.verb = link::archive::verb_from_string(text_in(object, "verb"));
  std::optional<std::string> path = describe::read_base64(text_in(object, "path"));
  if (!path || path->size() > link::archive::kPathLimit || path->find('\0') != std::string::npos)
    throw Error(Code::invalid_argument, "this cannot be the path of a copy");
  request.path = std::move(*path);
  request.keep_owners = flag_in(object, "keep_owners");
  return request;
}

std::string format_update(const UpdateRequest& request) {
  json::object object;
  if (request.cpus) object["cpus"] = *request.cpus;
  if (request.memory_bytes) object["memory_bytes"] = *request.memory_bytes;
  return json::serialize(object);
}

UpdateRequest parse_update(std::string_view body) {
  const json::object object = parse_object(body);
  UpdateRequest request;
  boost::system::error_code unfit;
  if (const json::value* cpus = object.if_contains("cpus")) request.cpus = cpus->to_number<double>(unfit);
  if (unfit || (request.cpus && !(*request.cpus > 0 && *request.cpus <= 4096)))
    throw Error(Code::invalid_argument, "cpus must be a number above 0");
  if (const json::value* memory = object.if_contains("memory_bytes"))
    request.memory_bytes = memory->to_number<std::uint64_t>(unfit);
  if (unfit) throw Error(Code::invalid_argument, "memory_bytes must be a number of bytes");
  return request;
}

std::string socket_path(int folder, const std::string& name) {
  return fmt::format("/proc/self/fd/{}/{}", folder, name);
}

}  // namespace berth::launcher
