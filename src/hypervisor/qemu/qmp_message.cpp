#include "hypervisor/qemu/qmp_message.hpp"

#include <fmt/format.h>

#include <utility>

#include <boost/json/parse.hpp>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

constexpr std::size_t kQuoted = 200;

[[noreturn]] void throw_corrupt(std::string_view line) {
  throw Error(Code::corrupt, "QEMU's monitor sent what is not QMP: {}", printable(line, kQuoted));
}

std::optional<std::uint64_t> id_member(const json::object& object) {
  const json::value* member = object.if_contains("id");
  if (member == nullptr) return std::nullopt;
  if (const auto* number = member->if_uint64()) return *number;
  if (const auto* number = member->if_int64(); number != nullptr && *number >= 0) {
    return static_cast<std::uint64_t>(*number);
  }
  return std::nullopt;
}

/// {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, ...}, ...}}
QmpGreeting parse_greeting(const json::value& body, std::string_view line) {
  const json::object* version = body.if_object();
  for (const std::string_view name : {"version", "qemu"}) {
    const json::value* member = version != nullptr ? version->if_contains(name) : nullptr;
    version = member != nullptr ? member->if_object() : nullptr;
  }
  if (version == nullptr) throw_corrupt(line);
  std::string text;
  for (const std::string_view name : {"major", "minor", "micro"}) {
    const json::value* part = version->if_contains(name);
    if (part == nullptr || !part->is_int64()) throw_corrupt(line);
    text += fmt::format("{}{}", text.empty() ? "" : ".", part->get_int64());
  }
  return {std::move(text)};
}

}  // namespace

std::string text_member(const json::object& object, std::string_view name) {
  const json::value* member = object.if_contains(name);
  const json::string* text = member != nullptr ? member->if_string() : nullptr;
  return text != nullptr ? std::string(*text) : std::string();
}

json::object one_member(std::string_view name, std::string_view value) {
  return {{name, value}};
}

QmpMessage parse_qmp_message(std::string_view line) {
  json::error_code failure;
  json::value message = json::parse(line, failure);
  json::object* object = failure ? nullptr : message.if_object();
  if (object == nullptr) throw_corrupt(line);

  if (const json::value* greeting = object->if_contains("QMP")) return parse_greeting(*greeting, line);
  if (std::string name = text_member(*object, "event"); !name.empty()) {
    json::value* data = object->if_contains("data");
    const bool has_data = data != nullptr && data->is_object();
    return QmpEvent{std::move(name), has_data ? std::move(data->get_object()) : json::object()};
  }
  const auto id = id_member(*object);
  if (const json::value* error = object->if_contains("error"); error != nullptr && error->is_object()) {
    return QmpFailure{id, text_member(error->get_object(), "class"),
                      text_member(error->get_object(), "desc")};
  }
  json::value* value = object->if_contains("return");
  if (value == nullptr || !id) throw_corrupt(line);
  return QmpReply{*id, std::move(*value)};
}

std::optional<QmpMessage> QmpReader::next() {
  while (true) {
    const std::size_t end = buffer_.find('\n', scanned_);
    const std::size_t length = (end == std::string::npos ? buffer_.size() : end) - begin_;
    if (length > kQmpLineLimit) throw Error(Code::corrupt, "QEMU's monitor sent a line that is too long");
    if (end == std::string::npos) {
      buffer_.erase(0, begin_);
      begin_ = 0;
      scanned_ = buffer_.size();
      return std::nullopt;
    }
    const std::string_view line = trim(std::string_view(buffer_).substr(begin_, length));
    begin_ = scanned_ = end + 1;
    if (!line.empty()) return parse_qmp_message(line);
  }
}

}  // namespace berth::hypervisor::qemu
