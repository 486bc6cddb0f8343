#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/clock.hpp"

namespace berth::link {

enum class OutputKind : std::uint8_t {
  open = 1,  ///< names the session that the number stands for from now on; the payload is its id
  standard_output = 2,
  standard_error = 3,
  end = 4,   ///< no more of this session: everything it wrote came before
  mark = 5,  ///< of no session (0): what verb::prepare_copy asked for, the payload is its token
};

/// One record of the output port; the byte-level format is in docs/output.md.
struct OutputRecord {
  OutputKind kind = OutputKind::standard_output;
  std::uint16_t session = 0;
  Nanoseconds time{};  ///< when the tether read the bytes, since 1970-01-01 UTC
  std::string payload;
};

/// Largest payload of a record, in bytes.
inline constexpr std::size_t kOutputPayloadLimit = 64u << 10;
inline constexpr std::size_t kOutputHeaderSize = 16;

/// A record's header. The payload follows it on the wire.
std::string encode_output_header(OutputKind kind, std::uint16_t session, Nanoseconds time,
                                 std::size_t payload_size);

/// Cuts a byte stream into records, whatever the pieces it comes in. Memory is bounded by one record.
class OutputParser {
 public:
  using Sink = std::function<void(OutputRecord&&)>;
  /// Throws Code::corrupt at the first header that cannot be one.
  void feed(std::string_view bytes, const Sink& sink);

 private:
  std::string pending_;
};

}  // namespace berth::link
