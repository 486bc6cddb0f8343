#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

namespace berth::launcher {

enum class LogStream : std::uint8_t { standard_output = 1, standard_error = 2 };

struct LogEntry {
  LogStream stream = LogStream::standard_output;
  Nanoseconds time{};
  std::string bytes;  ///< as the container wrote them, newlines included
};

struct LogLimits {
  std::uint64_t file_bytes = 16u << 20;  ///< a file larger than this is rotated
  unsigned files = 3;                    ///< including the one written to
};

/// Writes a container's log: container.log, and older parts container.log.1, .2 ... (docs/log.md).
/// One writer at a time; a file cut short by a crash is taken up after its last whole entry.
class LogWriter {
 public:
  LogWriter(std::filesystem::path folder, LogLimits limits);
  void append(LogStream stream, Nanoseconds time, std::string_view bytes);

 private:
  std::filesystem::path folder_;
  LogLimits limits_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
};

struct LogQuery {
  std::optional<std::uint64_t> tail;     ///< only the last lines
  std::optional<Nanoseconds> since;      ///< only entries from then on
  std::optional<Nanoseconds> until;
};

/// Reads a log from its oldest part on, while it may be written to and rotated.
class LogReader {
 public:
  LogReader(std::filesystem::path folder, LogQuery query);
  /// Everything there is now and was not given before; a torn last entry is left for the next call.
  /// Throws Code::corrupt for a file that is not a log.
  void read(const std::function<void(const LogEntry&)>& sink);
  /// Waits until there may be more (inotify), at most `limit`.
  void wait(std::chrono::milliseconds limit);

 private:
  std::filesystem::path folder_;
  LogQuery query_;
  UniqueFd file_;
  std::uint64_t offset_ = 0;
  UniqueFd watch_;
};

}  // namespace berth::launcher
