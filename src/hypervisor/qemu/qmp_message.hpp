#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace berth::hypervisor::qemu {

/// The longest line that is accepted from QEMU, in bytes.
inline constexpr std::size_t kQmpLineLimit = std::size_t{16} << 20;

struct QmpGreeting {
  std::string version;  ///< "7.2.22"
};
struct QmpReply {
  std::uint64_t id = 0;
  boost::json::value value;
};
struct QmpFailure {
  std::optional<std::uint64_t> id;  ///< missing when QEMU could not read the command
  std::string error_class;
  std::string description;
};
struct QmpEvent {
  std::string name;
  boost::json::object data;
};
using QmpMessage = std::variant<QmpGreeting, QmpReply, QmpFailure, QmpEvent>;

/// One line of QEMU's monitor protocol (docs/interop/qmp-spec). Throws Code::corrupt.
QmpMessage parse_qmp_message(std::string_view line);

/// A member's text; empty for one that is missing or no text.
std::string text_member(const boost::json::object& object, std::string_view name);
/// {"NAME": "VALUE"}: the arguments of many a command.
boost::json::object one_member(std::string_view name, std::string_view value);

/// Cuts the monitor's bytes into messages.
class QmpReader {
 public:
  void append(std::string_view bytes) { buffer_.append(bytes); }
  /// The next whole message, or nothing until more bytes come. Throws Code::corrupt, also for a line beyond
  /// the limit.
  std::optional<QmpMessage> next();

 private:
  std::string buffer_;
  std::size_t begin_ = 0;    // of the line that is being collected
  std::size_t scanned_ = 0;  // no line end before this
};

}  // namespace berth::hypervisor::qemu
