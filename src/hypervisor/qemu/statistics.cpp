#include "hypervisor/qemu/statistics.hpp"

#include <unistd.h>

#include <string>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/error.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/arguments.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

std::uint64_t counter(const json::object& stats, std::string_view name) {
  const json::value* value = stats.if_contains(name);
  if (value != nullptr && value->is_uint64()) return value->get_uint64();
  if (value == nullptr || !value->is_int64() || value->get_int64() < 0) {
    throw Error(Code::corrupt, "query-blockstats: {} is no counter", name);
  }
  return static_cast<std::uint64_t>(value->get_int64());
}

/// The "stats" of the device whose QOM path is /machine/peripheral/ID/...
const json::object* find_device(const json::array& devices, const std::string& id) {
  const std::string prefix = "/machine/peripheral/" + id + "/";
  for (const json::value& device : devices) {
    const json::object* fields = device.if_object();
    const json::value* path = fields != nullptr ? fields->if_contains("qdev") : nullptr;
    if (path == nullptr || !path->is_string()) continue;
    const std::string name = std::string(path->get_string()) + "/";
    const json::value* stats = fields->if_contains("stats");
    if (name.starts_with(prefix) && stats != nullptr) return stats->if_object();
  }
  return nullptr;
}

}  // namespace

MachineStatistics parse_process_stat(std::string_view text) {
  // The second field is the program's name in parentheses and may hold anything; the third follows the last
  // ')'.
  constexpr std::size_t kUserTime = 14 - 3, kSystemTime = 15 - 3, kResidentPages = 24 - 3;
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) throw Error(Code::corrupt, "/proc/PID/stat has no program name");
  const auto fields = split(trim(text.substr(name_end + 1)), ' ');
  if (fields.size() <= kResidentPages) throw Error(Code::corrupt, "/proc/PID/stat is too short");
  const auto number = [&](std::size_t index) {
    return static_cast<std::uint64_t>(parse_integer(fields[index], 0, INT64_MAX, "field of /proc/PID/stat"));
  };
  static const auto ticks_per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  static const auto page_size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  MachineStatistics result;
  const std::uint64_t ticks = number(kUserTime) + number(kSystemTime);
  result.cpu_time = Milliseconds(static_cast<std::int64_t>(ticks * 1000 / ticks_per_second));
  result.resident_bytes = number(kResidentPages) * page_size;
  return result;
}

void add_process_memory(std::string_view smaps_rollup, MachineStatistics& statistics) {
  constexpr std::int64_t kMostKiB = INT64_MAX / 1024;
  const auto bytes = [&](std::string_view name) {
    for (const std::string_view line : split(smaps_rollup, '\n')) {
      if (!line.starts_with(name)) continue;
      const std::string_view value = trim(line.substr(name.size()));
      const std::string_view number = value.substr(0, value.find(' '));
      return static_cast<std::uint64_t>(parse_integer(number, 0, kMostKiB, name)) * 1024;
    }
    throw Error(Code::corrupt, "/proc/PID/smaps_rollup has no {}", name);
  };
  statistics.private_bytes = bytes("Anonymous:");
  statistics.proportional_bytes = bytes("Pss:");
}

std::vector<DiskStatistics> parse_disk_statistics(const json::value& answer,
                                                  const std::map<std::string, std::string>& disks) {
  const json::array* devices = answer.if_array();
  if (devices == nullptr) throw Error(Code::corrupt, "query-blockstats did not answer with a list");
  std::vector<DiskStatistics> result;
  for (const auto& [serial, id] : disks) {
    const json::object* stats = find_device(*devices, id);
    if (stats == nullptr) throw Error(Code::corrupt, "query-blockstats does not tell of disk {}", serial);
    result.push_back({serial, counter(*stats, "rd_bytes"), counter(*stats, "wr_bytes"),
                      counter(*stats, "rd_operations"), counter(*stats, "wr_operations"),
                      counter(*stats, "flush_operations")});
  }
  return result;
}

}  // namespace berth::hypervisor::qemu
