#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "base/files.hpp"
#include "launcher/log_file.hpp"

namespace {

using berth::launcher::LogEntry;
using berth::launcher::LogLimits;
using berth::launcher::LogQuery;
using berth::launcher::LogReader;
using berth::launcher::LogStream;
using berth::launcher::LogWriter;

std::size_t bytes_in(const std::filesystem::path& folder, const LogQuery& query) {
  std::size_t size = 0;
  LogReader reader(folder, query);
  reader.read([&](const LogEntry& entry) { size += entry.bytes.size(); });
  return size;
}

template <typename Action>
bool succeeds(Action action) {
  try {
    action();
    return true;
  } catch (const berth::Error&) {
    return false;
  }
}

}  // namespace

/// Whatever a log file holds: reading ends, a tail is no longer than the whole, and what a writer takes up
/// can be read with the new entry at its end.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const berth::TempDir directory("/dev/shm", "log-fuzzer-");
  const std::filesystem::path file = directory.path() / "container.log";
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<long>(size));

  std::size_t whole = 0;
  std::size_t tail = 0;
  if (succeeds([&] { whole = bytes_in(directory.path(), {}); })) {
    tail = bytes_in(directory.path(), {.tail = 2});
    if (tail > whole) __builtin_trap();
  }
  const bool taken_up = succeeds([&] {
    LogWriter writer(directory.path(), LogLimits{});
    writer.append(LogStream::standard_error, berth::Nanoseconds(1), "end\n");
  });
  if (taken_up && bytes_in(directory.path(), {}) < 4) __builtin_trap();
  std::filesystem::remove(file);
  return 0;
}
