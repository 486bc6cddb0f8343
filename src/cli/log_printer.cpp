#include "cli/log_printer.hpp"

#include <algorithm>

namespace berth::cli {

std::string LogPrinter::format(const launcher::LogEntry& entry) {
  if (!timestamps_) return entry.bytes;
  bool& inside_line = inside_line_[static_cast<std::size_t>(entry.stream)];
  const std::string prefix = format_time(entry.time) + " ";
  std::string text;
  std::string_view rest = entry.bytes;
  while (!rest.empty()) {
    if (!inside_line) text += prefix;
    const std::size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    text += rest.substr(0, size);
    inside_line = rest[size - 1] != '\n';
    rest.remove_prefix(size);
  }
  return text;
}

}  // namespace berth::cli
