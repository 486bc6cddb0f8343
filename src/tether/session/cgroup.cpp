#include "tether/session/cgroup.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>
#include <system_error>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::tether {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kInterfaceFileLimit = 1u << 20;

std::uint64_t parse_count(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string read_interface_file(const fs::path& path) {
  return find_file(path, kInterfaceFileLimit).value_or("");
}

/// The value of a line "NAME VALUE"; 0 when there is none.
std::uint64_t keyed_value(std::string_view content, std::string_view name) {
  for (const std::string& line : split(content, '\n')) {
    const std::string_view view = line;
    if (view.size() > name.size() && view.starts_with(name) && view[name.size()] == ' ') {
      return parse_count(view.substr(name.size() + 1));
    }
  }
  return 0;
}

/// The sum of all "NAME=VALUE" in io.stat.
std::uint64_t sum_io_values(std::string_view content, std::string_view name) {
  std::uint64_t sum = 0;
  for (std::size_t at = content.find(name); at != std::string_view::npos; at = content.find(name, at + 1)) {
    const std::string_view rest = content.substr(at + name.size());
    if (rest.starts_with('=') && (at == 0 || content[at - 1] == ' ')) sum += parse_count(rest.substr(1));
  }
  return sum;
}

void set_limit(const fs::path& file, const std::string& value) {
  try {
    write_kernel_file(file, value);
  } catch (Error& error) {
    if (error.code() == Code::not_found) {
      throw Error(Code::unsupported, "the guest's kernel has no {}", file.filename().string());
    }
    throw;
  }
}

/// A line of io.max (Documentation/admin-guide/cgroup-v2.rst).
std::string io_max(const DiskLimit& limit) {
  const auto value = [](std::optional<std::uint64_t> number) {
    return number ? std::to_string(*number) : std::string("max");
  };
  return fmt::format("{}:{} rbps={} wbps={} riops={} wiops={}", major(limit.device), minor(limit.device),
                     value(limit.read_bps), value(limit.write_bps), value(limit.read_iops),
                     value(limit.write_iops));
}

}  // namespace

void Cgroup::prepare_hierarchy(const fs::path& hierarchy, const fs::path& folder) {
  make_directories(folder, 0755);
  for (const char* controller : {"+cpu", "+memory", "+pids", "+io"}) {
    for (const fs::path& level : {hierarchy, folder}) {
      const UniqueFd file(::open((level / "cgroup.subtree_control").c_str(), O_WRONLY | O_CLOEXEC));
      // One that the kernel lacks is missed only by who asks for its limit.
      if (file && ::write(file.get(), controller, std::string_view(controller).size()) < 0) break;
    }
  }
}

Cgroup::Cgroup(fs::path path) : path_(std::move(path)) {
  make_directories(path_, 0755);
  fd_ = open_file(path_, O_RDONLY | O_DIRECTORY);
}

void Cgroup::set_limits(const CgroupLimits& limits) {
  if (limits.memory_bytes) {
    set_limit(path_ / "memory.max", std::to_string(*limits.memory_bytes));
    // Only a kernel with swap has it. What does not fit is killed, not moved.
    const fs::path swap = path_ / "memory.swap.max";
    if (fs::exists(swap)) set_limit(swap, "0");
  }
  if (limits.processes) set_limit(path_ / "pids.max", std::to_string(*limits.processes));
  if (limits.cpu_nanoseconds) {
    // Docker's period; the kernel takes no quota below a millisecond.
    constexpr std::uint64_t kPeriodMicroseconds = 100'000;
    constexpr std::uint64_t kLeastMicroseconds = 1'000;
    const std::uint64_t quota = *limits.cpu_nanoseconds / (1'000'000'000 / kPeriodMicroseconds);
    set_limit(path_ / "cpu.max",
              fmt::format("{} {}", std::max(quota, kLeastMicroseconds), kPeriodMicroseconds));
  }
  for (const DiskLimit& disk : limits.disks) set_limit(path_ / "io.max", io_max(disk));
}

CgroupUsage Cgroup::usage() const {
  CgroupUsage usage;
  usage.cpu_nanoseconds = keyed_value(read_interface_file(path_ / "cpu.stat"), "usage_usec") * 1000;
  usage.memory_bytes = parse_count(read_interface_file(path_ / "memory.current"));
  usage.memory_limit_bytes = parse_count(read_interface_file(path_ / "memory.max"));
  usage.processes = parse_count(read_interface_file(path_ / "pids.current"));
  const std::string io = read_interface_file(path_ / "io.stat");
  usage.read_bytes = sum_io_values(io, "rbytes");
  usage.written_bytes = sum_io_values(io, "wbytes");
  return usage;
}

std::uint64_t Cgroup::oom_kills() const {
  return keyed_value(read_interface_file(path_ / "memory.events"), "oom_kill");
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> found;
  const auto add = [&found](const fs::path& folder) {
    for (const std::string& line : split(read_interface_file(folder / "cgroup.procs"), '\n')) {
      if (const auto pid = static_cast<pid_t>(parse_count(line)); pid > 0) found.push_back(pid);
    }
  };
  add(path_);
  std::error_code ignored;
  for (fs::recursive_directory_iterator entry(path_, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->is_directory(ignored)) add(entry->path());
  }
  return found;
}

void Cgroup::freeze() {
  write_kernel_file(path_ / "cgroup.freeze", "1");
}

void Cgroup::thaw() {
  write_kernel_file(path_ / "cgroup.freeze", "0");
}

void Cgroup::kill() {
  write_kernel_file(path_ / "cgroup.kill", "1");
}

bool Cgroup::remove() {
  std::vector<fs::path> folders{path_};
  std::error_code ignored;
  for (fs::recursive_directory_iterator entry(path_, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->is_directory(ignored)) folders.push_back(entry->path());
  }
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    if (::rmdir(folder->c_str()) != 0 && errno != ENOENT) return false;
  }
  return true;
}

}  // namespace berth::tether
