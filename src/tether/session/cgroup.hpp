#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"

namespace berth::tether {

/// What may be done with a disk; nothing means no limit.
struct DiskLimit {
  dev_t device = 0;
  std::optional<std::uint64_t> read_bps;  ///< bytes a second
  std::optional<std::uint64_t> write_bps;
  std::optional<std::uint64_t> read_iops;  ///< operations a second
  std::optional<std::uint64_t> write_iops;
  bool operator==(const DiskLimit&) const = default;
};

/// What the processes of a cgroup and of all below it may use together; nothing means no limit.
struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<std::uint64_t> processes;
  std::optional<std::uint64_t> cpu_nanoseconds;  ///< processor time per second
  std::vector<DiskLimit> disks{};
  bool operator==(const CgroupLimits&) const = default;
};

/// Sum over a cgroup and all below it.
struct CgroupUsage {
  std::uint64_t cpu_nanoseconds = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t memory_limit_bytes = 0;  ///< 0: none
  std::uint64_t processes = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
};

/// A cgroup v2 directory of the tether's. It stays until remove(). One holds all containers, in it one each
/// container, in that one each exec. Limits stand at a container's, where they hold for its execs as well,
/// and are what it sees in its own /sys/fs/cgroup. It hands no controllers down, so that processes may be
/// both in it and below it.
class Cgroup {
 public:
  /// Makes the directory that holds all sessions and hands the controllers of `hierarchy` down to it.
  static void prepare_hierarchy(const std::filesystem::path& hierarchy, const std::filesystem::path& folder);

  /// Makes it, or takes over an existing one.
  explicit Cgroup(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  /// The directory, for CLONE_INTO_CGROUP.
  int fd() const { return fd_.get(); }

  /// Those of before that are not given stay. A controller that the kernel does not have is
  /// Code::unsupported.
  void set_limits(const CgroupLimits& limits);
  CgroupUsage usage() const;
  /// How often the OOM killer ended a process of it.
  std::uint64_t oom_kills() const;
  /// Process ids in the caller's PID namespace, of this cgroup and all below it.
  std::vector<pid_t> processes() const;
  /// Stops every process of it and below it, and those to come, until they go on again. SIGKILL still ends
  /// them.
  void freeze();
  void thaw();
  /// SIGKILL to every process of it and below it.
  void kill();
  /// Removes it and all below it; false when there are still processes in it.
  bool remove();

 private:
  std::filesystem::path path_;
  UniqueFd fd_;
};

}  // namespace berth::tether
