#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

/// CPU time and memory from the text of /proc/PID/stat, proc(5). Throws Code::corrupt.
MachineStatistics parse_process_stat(std::string_view text);

/// What is private and proportional of a process's memory, from the text of /proc/PID/smaps_rollup, proc(5).
/// Throws Code::corrupt.
void add_process_memory(std::string_view smaps_rollup, MachineStatistics& statistics);

/// Per disk, from the answer to query-blockstats. `disks` has QEMU's name for each serial. Throws
/// Code::corrupt.
std::vector<DiskStatistics> parse_disk_statistics(const boost::json::value& answer,
                                                  const std::map<std::string, std::string>& disks);

}  // namespace berth::hypervisor::qemu
