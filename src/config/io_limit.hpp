#pragma once

#include <cstdint>
#include <string>

namespace berth::config {

/// What a container and its execs may do with a disk together; 0: as much as it can do.
struct IoLimit {
  std::string path;            ///< of a volume in the container, for its disk; "/": the container's own
  std::int64_t read_bps = 0;   ///< bytes a second
  std::int64_t write_bps = 0;  ///< likewise
  std::int64_t read_iops = 0;  ///< operations a second
  std::int64_t write_iops = 0;
  bool operator==(const IoLimit&) const = default;
};

}  // namespace berth::config
