#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "hypervisor/hypervisor.hpp"

namespace berth::hypervisor::qemu {

/// CPU time and memory from the text of /proc/PID/stat, proc(5). Throws Code::corrupt.
MachineStatistics parse_process_stat(std::string_view text);

/// Per disk, in the order of `serials`, from the answer to query-blockstats. Throws Code::corrupt.
std::vector<DiskStatistics> parse_disk_statistics(const boost::json::value& answer,
                                                  const std::vector<std::string>& serials);

}  // namespace berth::hypervisor::qemu
