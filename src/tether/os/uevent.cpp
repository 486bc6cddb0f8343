#include "tether/os/uevent.hpp"

namespace berth::tether::os {
namespace {

/// Up to the next zero byte, which is taken as well.
std::string_view take_text(std::string_view& rest) {
  const std::string_view text = rest.substr(0, rest.find('\0'));
  rest.remove_prefix(text.size() < rest.size() ? text.size() + 1 : rest.size());
  return text;
}

}  // namespace

std::optional<Uevent> parse_uevent(std::string_view datagram) {
  if (datagram.size() > kUeventLimit) return std::nullopt;
  std::string_view rest = datagram;
  const std::string_view first = take_text(rest);
  const std::size_t at = first.find('@');
  if (at == 0 || at == std::string_view::npos || first.substr(at + 1, 1) != "/") return std::nullopt;
  Uevent event;
  event.action = first.substr(0, at);
  event.path = first.substr(at + 1);
  while (!rest.empty()) {
    const std::string_view pair = take_text(rest);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = pair.substr(0, equals);
    if (key == "SUBSYSTEM") event.subsystem = pair.substr(equals + 1);
    if (key == "MODALIAS") event.modalias = pair.substr(equals + 1);
  }
  return event;
}

}  // namespace berth::tether::os
