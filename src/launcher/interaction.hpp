#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace berth::launcher {

/// Frames between a client and a launcher after an upgrade to "berth-interaction" (docs/launcher-api.md).
/// Kinds 0 to 2 and the header are those of Docker's multiplexed streams: kind, three zero bytes, length (big
/// endian).
enum class FrameKind : std::uint8_t {
  input = 0,            ///< client to launcher
  standard_output = 1,  ///< launcher to client
  standard_error = 2,
  end_of_input = 3,  ///< client to launcher: nothing more will come; empty
  resize = 4,        ///< client to launcher: two 16-bit numbers (big endian), columns and rows
  signal = 5,        ///< client to launcher: the number in one byte
  started = 6,       ///< launcher to client: the process runs; empty
  exit = 7,          ///< launcher to client, last: JSON of an Exit
  error = 8,         ///< launcher to client, last: JSON {"code", "message"} of an Error
  lost = 9,          ///< launcher to client: bytes of output left out here, a 64-bit number (big endian)
};

/// Largest payload of a frame, in bytes.
inline constexpr std::size_t kFrameLimit = 64u << 10;
inline constexpr std::size_t kFrameHeaderSize = 8;

struct Frame {
  FrameKind kind = FrameKind::input;
  std::string payload;
};

/// How a container's main process or an exec ended.
struct Exit {
  std::int32_t code =
      0;  ///< as Docker shows it: 128+n for a signal, 126 or 127 for a command that cannot run
  std::int32_t signal = 0;
  bool oom_killed = false;
  /// Why it never ran or what ended the machine; empty after an ordinary end.
  std::string error;
};

/// Header and payload; payloads beyond kFrameLimit must be cut before.
std::string encode_frame(FrameKind kind, std::string_view payload);
std::string encode_resize(std::uint16_t columns, std::uint16_t rows);
std::string encode_lost(std::uint64_t bytes);
/// Throws Code::corrupt.
std::uint64_t decode_lost(std::string_view payload);
std::string encode_exit(const Exit& exit);
Exit decode_exit(std::string_view payload);
std::string encode_error(const Error& error);
Error decode_error(std::string_view payload);

/// Cuts a byte stream into frames, whatever the pieces it comes in.
class FrameParser {
 public:
  /// Throws Code::corrupt at the first header that cannot be one.
  void feed(std::string_view bytes, const std::function<void(Frame&&)>& sink);

 private:
  std::string pending_;
};

}  // namespace berth::launcher
