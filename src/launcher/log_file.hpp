#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"

namespace berth::launcher {

enum class LogStream : std::uint8_t { standard_output = 1, standard_error = 2 };

struct LogEntry {
  LogStream stream = LogStream::standard_output;
  Nanoseconds time{};
  std::string bytes;  ///< as the container wrote them, newlines included
};

/// One entry inside a buffer.
struct LogEntryView {
  LogStream stream;
  Nanoseconds time;
  std::string_view bytes;
  std::size_t size;  ///< of the whole entry in the buffer
};

/// The entry that `buffer` begins with, or nothing when it is cut short. Throws Code::corrupt.
std::optional<LogEntryView> parse_log_entry(std::string_view buffer);

/// One file of a log, read in order.
class LogPart {
 public:
  /// Nothing when the file is missing; throws Code::corrupt when it is not a log.
  static std::optional<LogPart> open(const std::filesystem::path& path, int flags);

  /// Gives the whole entries from the offset to what is the file's end now, and moves the offset past each.
  void scan(const std::function<void(const LogEntryView&)>& sink);

  int fd() const { return file_.get(); }
  std::uint64_t sequence() const { return sequence_; }
  std::uint64_t offset() const { return offset_; }

 private:
  LogPart(std::filesystem::path path, UniqueFd file, std::uint64_t sequence);
  std::optional<LogEntryView> parse(std::string_view buffer) const;

  std::filesystem::path path_;
  UniqueFd file_;
  std::uint64_t sequence_;
  std::uint64_t offset_;
};

struct LogLimits {
  std::uint64_t file_bytes = 16u << 20;  ///< a file that would grow beyond it is rotated
  unsigned files = 3;                    ///< including the one written to
};

/// Writes a container's log: container.log, and older parts container.log.1, .2 ... (docs/log.md).
/// One writer at a time; a file cut short by a crash is taken up after its last whole entry.
class LogWriter {
 public:
  /// Throws Code::corrupt when container.log is there and is not a log.
  LogWriter(std::filesystem::path folder, LogLimits limits);
  /// Throws Code::capacity when the disk is full: nothing of `bytes` is in the log then, and the writer goes
  /// on being usable.
  void append(LogStream stream, Nanoseconds time, std::string_view bytes);

 private:
  void begin(const std::function<void()>& make_room);
  void rotate();

  std::filesystem::path folder_;
  LogLimits limits_;
  UniqueFd file_;
  std::uint64_t sequence_ = 0;
  std::uint64_t size_ = 0;
};

struct LogQuery {
  std::optional<std::uint64_t> tail = {};  ///< only so many of the last lines there are at the first read
  std::optional<Nanoseconds> since = {};   ///< only entries from then on
  std::optional<Nanoseconds> until = {};   ///< only entries up to then
};

/// Reads a log from its oldest part on, while it may be written to and rotated.
class LogReader {
 public:
  /// The folder must exist; the log need not yet.
  LogReader(std::filesystem::path folder, LogQuery query);
  /// Everything there is now and was not given before; a torn last entry is left for the next call.
  /// With `tail`, an entry may begin in the middle of a stored one, at the beginning of a line.
  /// Throws Code::corrupt for a file that is not a log.
  void read(const std::function<void(const LogEntry&)>& sink);
  /// Waits until there may be more (inotify), at most `limit`. False once the folder was removed.
  bool wait(std::chrono::milliseconds limit);
  /// Readable when there may be more, for an event loop; call wait with 0 to clear it.
  int watch_descriptor() const { return watch_.get(); }

 private:
  using Sink = std::function<void(const LogEntry&)>;
  /// Where a stream is between two entries.
  struct Line {
    bool open = false;    ///< the last byte was not a newline
    bool hidden = false;  ///< the open line is not among those asked for
  };

  std::vector<LogPart> open_newer() const;
  void watch(const LogPart& part);
  void hide_all_but_tail();
  bool is_wanted(const LogEntryView& entry) const;
  void give(const LogEntryView& entry, const Sink& sink);
  void append_visible_lines(std::string_view bytes, Line& line);

  std::filesystem::path folder_;
  LogQuery query_;
  std::optional<LogPart> part_;
  bool begun_ = false;
  std::uint64_t lines_to_hide_ = 0;
  std::array<Line, 2> lines_;  ///< of standard output and standard error
  LogEntry entry_;
  UniqueFd watch_;
  int file_watch_ = -1;
  bool removed_ = false;
};

}  // namespace berth::launcher
