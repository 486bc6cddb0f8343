#include "launcher/interaction.hpp"

#include <boost/json.hpp>

#include "link/wire.hpp"

namespace berth::launcher {
namespace {

namespace json = boost::json;
namespace wire = link::wire;

constexpr std::size_t kLengthAt = 4;

json::object parse_object(std::string_view text) {
  boost::system::error_code failure;
  const json::value value = json::parse(text, failure);
  if (failure || !value.is_object()) throw Error(Code::corrupt, "a frame's payload is not a JSON object");
  return value.get_object();
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int32_t number_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? static_cast<std::int32_t>(value->get_int64()) : 0;
}

}  // namespace

std::string encode_frame(FrameKind kind, std::string_view payload) {
  std::string frame(kFrameHeaderSize, '\0');
  frame[0] = static_cast<char>(kind);
  wire::put_u32(frame.data() + kLengthAt, static_cast<std::uint32_t>(payload.size()));
  frame += payload;
  return frame;
}

std::string encode_resize(std::uint16_t columns, std::uint16_t rows) {
  char payload[4];
  wire::put(payload, columns);
  wire::put(payload + 2, rows);
  return encode_frame(FrameKind::resize, std::string_view(payload, sizeof payload));
}

std::string encode_lost(std::uint64_t bytes) {
  char payload[sizeof bytes];
  wire::put(payload, bytes);
  return encode_frame(FrameKind::lost, std::string_view(payload, sizeof payload));
}

std::uint64_t decode_lost(std::string_view payload) {
  if (payload.size() != sizeof(std::uint64_t)) {
    throw Error(Code::corrupt, "a frame about lost output has {} bytes", payload.size());
  }
  return wire::get<std::uint64_t>(payload.data());
}

std::string encode_exit(const Exit& exit) {
  json::object object{{"code", exit.code}, {"signal", exit.signal}, {"oom_killed", exit.oom_killed}};
  if (!exit.error.empty()) object["error"] = exit.error;
  return encode_frame(FrameKind::exit, json::serialize(object));
}

Exit decode_exit(std::string_view payload) {
  const json::object object = parse_object(payload);
  Exit exit;
  exit.code = number_of(object, "code");
  exit.signal = number_of(object, "signal");
  const json::value* killed = object.if_contains("oom_killed");
  exit.oom_killed = killed != nullptr && killed->is_bool() && killed->get_bool();
  exit.error = text_of(object, "error");
  return exit;
}

std::string encode_error(const Error& error) {
  const json::object object{{"code", to_string(error.code())}, {"message", error.what()}};
  return encode_frame(FrameKind::error, json::serialize(object));
}

Error decode_error(std::string_view payload) {
  const json::object object = parse_object(payload);
  return Error(code_from_string(text_of(object, "code")), text_of(object, "message"));
}

void FrameParser::feed(std::string_view bytes, const std::function<void(Frame&&)>& sink) {
  pending_ += bytes;
  std::string_view rest(pending_);
  while (rest.size() >= kFrameHeaderSize) {
    const auto kind = static_cast<std::uint8_t>(rest[0]);
    const std::size_t size = wire::get_u32(rest.data() + kLengthAt);
    if (kind > static_cast<std::uint8_t>(FrameKind::lost) || size > kFrameLimit) {
      throw Error(Code::corrupt, "the stream carried something that is not a frame");
    }
    if (rest.size() < kFrameHeaderSize + size) break;
    Frame frame{static_cast<FrameKind>(kind), std::string(rest.substr(kFrameHeaderSize, size))};
    rest.remove_prefix(kFrameHeaderSize + size);
    sink(std::move(frame));
  }
  pending_.erase(0, pending_.size() - rest.size());
}

}  // namespace berth::launcher
