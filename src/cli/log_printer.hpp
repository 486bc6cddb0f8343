#pragma once

#include <string>

#include "launcher/log_file.hpp"

namespace berth::cli {

/// Lays out log entries as `docker logs` does, with a time in front of every line when asked to.
class LogPrinter {
 public:
  explicit LogPrinter(bool timestamps) : timestamps_(timestamps) {}

  /// What the entry adds to its stream. A line may come in several entries; it has the time of the first.
  std::string format(const launcher::LogEntry& entry);

 private:
  bool timestamps_;
  bool inside_line_[3] = {};  ///< by launcher::LogStream
};

}  // namespace berth::cli
