#include "launcher/log_file.hpp"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::launcher {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMagic = "berthlog";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kFileHeaderSize = 24;
constexpr std::size_t kEntryHeaderSize = 16;
constexpr std::size_t kEntryLimit = 65536;
constexpr std::size_t kReadSize = 4 * kEntryLimit;
constexpr unsigned kMostFiles = 32;

void put(std::string& to, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to.push_back(static_cast<char>(number >> (8 * i)));
}

std::uint64_t get(std::string_view from, std::size_t offset, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[offset + i])) << (8 * i);
  }
  return number;
}

std::string file_header(std::uint64_t sequence) {
  std::string header(kMagic);
  put(header, kVersion, 4);
  put(header, 0, 4);
  put(header, sequence, 8);
  return header;
}

std::string entry_header(LogStream stream, Nanoseconds time, std::size_t length) {
  std::string header;
  put(header, static_cast<std::uint64_t>(time.count()), 8);
  put(header, length, 4);
  put(header, static_cast<std::uint8_t>(stream), 4);
  return header;
}

std::size_t index_of(LogStream stream) {
  return static_cast<std::size_t>(stream) - 1;
}

fs::path part_path(const fs::path& folder, unsigned number) {
  return folder / (number == 0 ? "container.log" : fmt::format("container.log.{}", number));
}

/// Up to `size` bytes; fewer only at the end of the file.
std::size_t read_at(int fd, char* buffer, std::size_t size, std::uint64_t offset) {
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, buffer + got, size - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (check(n, "read the container log") == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

void write_header_and_bytes(int fd, std::string& header, std::string_view bytes) {
  iovec parts[] = {{header.data(), header.size()}, {const_cast<char*>(bytes.data()), bytes.size()}};
  const ssize_t written = ::writev(fd, parts, 2);
  if (written < 0) throw errno_error("write the container log");
  const auto done = static_cast<std::size_t>(written);
  // A regular file takes less than it was given only when something is wrong; writing the rest says what.
  if (done < header.size()) {
    write_all(fd, std::string_view(header).substr(done));
    write_all(fd, bytes);
  } else {
    write_all(fd, bytes.substr(done - header.size()));
  }
}

struct stat status_of(int fd) {
  struct stat info;
  check(::fstat(fd, &info), "look at the container log");
  return info;
}

bool is_same_file(int fd, const fs::path& path) {
  struct stat other;
  if (::stat(path.c_str(), &other) != 0) return false;
  const struct stat own = status_of(fd);
  return own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

/// A missing one is fine.
void move_part(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT)
    throw errno_error("rotate the container log");
}

/// The parts that are there, oldest first. Rotation moves a part to higher numbers only, so that going
/// through them upwards misses none, though it may meet one twice.
std::vector<LogPart> open_parts(const fs::path& folder) {
  std::vector<LogPart> parts;
  for (unsigned number = 0; number < kMostFiles; ++number) {
    if (auto part = LogPart::open(part_path(folder, number), O_RDONLY)) parts.push_back(std::move(*part));
  }
  std::ranges::sort(parts, {}, &LogPart::sequence);
  const auto is_same = [](const LogPart& a, const LogPart& b) { return a.sequence() == b.sequence(); };
  parts.erase(std::unique(parts.begin(), parts.end(), is_same), parts.end());
  return parts;
}

}  // namespace

std::optional<LogEntryView> parse_log_entry(std::string_view buffer) {
  if (buffer.size() < kEntryHeaderSize) return std::nullopt;
  const std::uint64_t length = get(buffer, 8, 4);
  const std::uint64_t stream = get(buffer, 12, 4);
  const auto time = static_cast<std::int64_t>(get(buffer, 0, 8));
  // Space that a power cut left before the bytes were on the disk.
  if (length == 0 && stream == 0 && time == 0) return std::nullopt;
  if (length == 0 || length > kEntryLimit || stream < 1 || stream > 2) {
    throw Error(Code::corrupt, "an entry of {} bytes on stream {} cannot be", length, stream);
  }
  if (buffer.size() - kEntryHeaderSize < length) return std::nullopt;
  return LogEntryView{static_cast<LogStream>(stream), Nanoseconds(time),
                      buffer.substr(kEntryHeaderSize, length), kEntryHeaderSize + length};
}

LogPart::LogPart(fs::path path, UniqueFd file, std::uint64_t sequence)
    : path_(std::move(path)), file_(std::move(file)), sequence_(sequence), offset_(kFileHeaderSize) {}

std::optional<LogPart> LogPart::open(const fs::path& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return std::nullopt;
  if (!file) throw errno_error("open " + path.string());
  std::string header(kFileHeaderSize, '\0');
  const std::size_t size = read_at(file.get(), header.data(), header.size(), 0);
  // A power cut just after the file was made leaves it so.
  if (header.find_first_not_of('\0') == std::string::npos) return std::nullopt;
  if (size < header.size() || !header.starts_with(kMagic) || get(header, 12, 4) != 0) {
    throw Error(Code::corrupt, "{} is not a container log: move it away", path.string());
  }
  if (get(header, 8, 4) != kVersion) {
    throw Error(Code::unsupported, "{} was written by a newer berth: use that one", path.string());
  }
  return LogPart(path, std::move(file), get(header, 16, 8));
}

std::optional<LogEntryView> LogPart::parse(std::string_view buffer) const {
  try {
    return parse_log_entry(buffer);
  } catch (Error& error) {
    error.add_context(fmt::format("{} at byte {}", path_.string(), offset_));
    throw;
  }
}

void LogPart::scan(const std::function<void(const LogEntryView&)>& sink) {
  const auto end = file_bytes(fd(), "look at the container log");
  std::string buffer;
  while (offset_ < end) {
    buffer.resize(std::min<std::uint64_t>(kReadSize, end - offset_));
    buffer.resize(read_at(fd(), buffer.data(), buffer.size(), offset_));
    std::string_view rest(buffer);
    while (const std::optional<LogEntryView> entry = parse(rest)) {
      rest.remove_prefix(entry->size);
      offset_ += entry->size;
      sink(*entry);
    }
    if (rest.size() == buffer.size()) return;
  }
}

LogWriter::LogWriter(fs::path folder, LogLimits limits) : folder_(std::move(folder)), limits_(limits) {
  limits_.files = std::clamp(limits_.files, 1u, kMostFiles);
  std::vector<LogPart> parts = open_parts(folder_);
  if (!parts.empty()) sequence_ = parts.back().sequence();
  std::optional<LogPart> current = LogPart::open(part_path(folder_, 0), O_RDWR | O_APPEND);
  if (!current) {
    begin([] {});
    return;
  }
  try {
    current->scan([](const LogEntryView&) {});
  } catch (const Error& error) {
    // What a power cut damaged ends the log here; everything before it stays.
    if (error.code() != Code::corrupt) throw;
  }
  size_ = current->offset();
  check(::ftruncate(current->fd(), static_cast<off_t>(size_)), "cut the container log");
  file_ = duplicate(current->fd());
}

/// Puts a new part in the place of container.log, whole from the first moment it is seen, after `make_room`.
void LogWriter::begin(const std::function<void()>& make_room) {
  const fs::path fresh = folder_ / "container.log.new";
  std::string header = file_header(sequence_ + 1);
  UniqueFd file = open_file(fresh, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
  write_header_and_bytes(file.get(), header, {});
  make_room();
  move_part(fresh, part_path(folder_, 0));
  file_ = std::move(file);
  size_ = header.size();
  ++sequence_;
}

void LogWriter::rotate() {
  // It goes anyway, and on a full disk the new part needs its space.
  const unsigned last = limits_.files - 1;
  if (last > 0) ::unlink(part_path(folder_, last).c_str());
  begin([this, last] {
    for (unsigned number = last; number > 0; --number) {
      move_part(part_path(folder_, number - 1), part_path(folder_, number));
    }
  });
}

void LogWriter::append(LogStream stream, Nanoseconds time, std::string_view bytes) {
  if (bytes.empty()) return;
  const std::uint64_t headers = (bytes.size() + kEntryLimit - 1) / kEntryLimit * kEntryHeaderSize;
  if (!file_) begin([] {});
  if (size_ > kFileHeaderSize && size_ + headers + bytes.size() > limits_.file_bytes) rotate();
  try {
    std::uint64_t size = size_;
    for (std::string_view rest = bytes; !rest.empty();) {
      const std::string_view chunk = rest.substr(0, kEntryLimit);
      std::string header = entry_header(stream, time, chunk.size());
      write_header_and_bytes(file_.get(), header, chunk);
      size += kEntryHeaderSize + chunk.size();
      rest.remove_prefix(chunk.size());
    }
    size_ = size;
  } catch (Error& error) {
    // Else the next entry would follow half of this one.
    if (::ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) file_.reset();
    throw;
  }
}

LogReader::LogReader(fs::path folder, LogQuery query)
    : folder_(std::move(folder)),
      query_(query),
      watch_(check(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify")) {
  check(::inotify_add_watch(watch_.get(), folder_.c_str(), IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR),
        "watch " + folder_.string());
}

void LogReader::read(const Sink& sink) {
  // Before the current part is read: with a newer one there, what it has then is all that it will ever have.
  std::vector<LogPart> newer = open_newer();
  if (!std::exchange(begun_, true) && query_.tail) hide_all_but_tail();
  const auto give_entry = [&](const LogEntryView& entry) { give(entry, sink); };
  if (part_) part_->scan(give_entry);
  for (LogPart& part : newer) {
    watch(part);
    part_ = std::move(part);
    part_->scan(give_entry);
  }
}

std::vector<LogPart> LogReader::open_newer() const {
  if (part_ && is_same_file(part_->fd(), part_path(folder_, 0))) return {};
  std::vector<LogPart> parts = open_parts(folder_);
  std::erase_if(parts, [this](const LogPart& part) { return part_ && part.sequence() <= part_->sequence(); });
  return parts;
}

void LogReader::watch(const LogPart& part) {
  if (file_watch_ >= 0) ::inotify_rm_watch(watch_.get(), file_watch_);
  // By descriptor: the name may be another part's by now.
  file_watch_ =
      ::inotify_add_watch(watch_.get(), fmt::format("/proc/self/fd/{}", part.fd()).c_str(), IN_MODIFY);
  check(file_watch_, "watch the container log");
}

void LogReader::hide_all_but_tail() {
  std::uint64_t count = 0;
  std::array<bool, 2> is_open{};
  for (LogPart& part : open_parts(folder_)) {
    part.scan([&](const LogEntryView& entry) {
      if (!is_wanted(entry)) return;
      bool& open = is_open[index_of(entry.stream)];
      const auto newlines = static_cast<std::uint64_t>(std::ranges::count(entry.bytes, '\n'));
      const bool ends_open = entry.bytes.back() != '\n';
      // A line begins after each newline but the last byte's, and at the entry itself unless one was open.
      count += newlines + (ends_open ? 1 : 0) - (open ? 1 : 0);
      open = ends_open;
    });
  }
  lines_to_hide_ = count > *query_.tail ? count - *query_.tail : 0;
}

bool LogReader::is_wanted(const LogEntryView& entry) const {
  return (!query_.since || entry.time >= *query_.since) && (!query_.until || entry.time <= *query_.until);
}

void LogReader::give(const LogEntryView& entry, const Sink& sink) {
  if (!is_wanted(entry)) return;
  entry_.stream = entry.stream;
  entry_.time = entry.time;
  entry_.bytes.clear();
  Line& line = lines_[index_of(entry.stream)];
  if (lines_to_hide_ == 0 && !line.hidden) {
    entry_.bytes = entry.bytes;
    line.open = entry.bytes.back() != '\n';
  } else {
    append_visible_lines(entry.bytes, line);
  }
  if (!entry_.bytes.empty()) sink(entry_);
}

void LogReader::append_visible_lines(std::string_view bytes, Line& line) {
  while (!bytes.empty()) {
    if (!line.open) {
      line.hidden = lines_to_hide_ > 0;
      if (line.hidden) --lines_to_hide_;
    }
    const std::size_t newline = bytes.find('\n');
    const std::string_view part = bytes.substr(0, newline == bytes.npos ? newline : newline + 1);
    if (!line.hidden) entry_.bytes += part;
    line.open = newline == bytes.npos;
    if (!line.open) line.hidden = false;
    bytes.remove_prefix(part.size());
  }
}

bool LogReader::wait(std::chrono::milliseconds limit) {
  if (removed_) return false;
  pollfd descriptor{watch_.get(), POLLIN, 0};
  if (::poll(&descriptor, 1, static_cast<int>(limit.count())) < 0 && errno != EINTR)
    throw errno_error("poll");
  alignas(inotify_event) char buffer[4096];
  ssize_t size = 0;
  while ((size = ::read(watch_.get(), buffer, sizeof buffer)) > 0) {
    for (const char* at = buffer; at < buffer + size;) {
      inotify_event event;
      std::memcpy(&event, at, sizeof event);
      if ((event.mask & IN_DELETE_SELF) != 0) removed_ = true;
      at += sizeof event + event.len;
    }
  }
  return !removed_;
}

}  // namespace berth::launcher
