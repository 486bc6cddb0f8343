#include "link/output.hpp"

#include "base/error.hpp"
#include "link/wire.hpp"

namespace berth::link {
namespace {

// Header: u32 payload length, u8 kind, u8 zero, u16 session, u64 time; all big endian.
constexpr std::size_t kKindAt = 4;
constexpr std::size_t kZeroAt = 5;
constexpr std::size_t kSessionAt = 6;
constexpr std::size_t kTimeAt = 8;

OutputRecord decode_header(std::string_view header, std::size_t& payload_size) {
  payload_size = wire::get_u32(header.data());
  const auto kind = static_cast<std::uint8_t>(header[kKindAt]);
  const bool known = kind >= static_cast<std::uint8_t>(OutputKind::open) &&
                     kind <= static_cast<std::uint8_t>(OutputKind::mark);
  if (payload_size > kOutputPayloadLimit || !known || header[kZeroAt] != 0) {
    throw Error(Code::corrupt, "the output port carried something that is not a record");
  }
  OutputRecord record;
  record.kind = static_cast<OutputKind>(kind);
  record.session = wire::get<std::uint16_t>(header.data() + kSessionAt);
  record.time = Nanoseconds(static_cast<std::int64_t>(wire::get<std::uint64_t>(header.data() + kTimeAt)));
  return record;
}

}  // namespace

std::string encode_output_header(OutputKind kind, std::uint16_t session, Nanoseconds time,
                                 std::size_t payload_size) {
  std::string header(kOutputHeaderSize, '\0');
  wire::put_u32(header.data(), static_cast<std::uint32_t>(payload_size));
  header[kKindAt] = static_cast<char>(kind);
  wire::put(header.data() + kSessionAt, session);
  wire::put(header.data() + kTimeAt, static_cast<std::uint64_t>(time.count()));
  return header;
}

void OutputParser::feed(std::string_view bytes, const Sink& sink) {
  pending_ += bytes;
  std::string_view rest(pending_);
  while (rest.size() >= kOutputHeaderSize) {
    std::size_t payload_size = 0;
    OutputRecord record = decode_header(rest.substr(0, kOutputHeaderSize), payload_size);
    if (rest.size() < kOutputHeaderSize + payload_size) break;
    record.payload = rest.substr(kOutputHeaderSize, payload_size);
    rest.remove_prefix(kOutputHeaderSize + payload_size);
    sink(std::move(record));
  }
  pending_.erase(0, pending_.size() - rest.size());
}

}  // namespace berth::link
