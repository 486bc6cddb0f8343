#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "tether/configuration.hpp"
#include "tether/os/boot.hpp"
#include "tether/tether.hpp"

/// What containers use of the machine, and what it has for them.
namespace berth::tether {
namespace {

constexpr std::string_view kProcessesKey = "Processes";
/// For CPUs to be online; under software emulation one takes some tenths of a second.
constexpr Milliseconds kCpuLimit{8'000};
constexpr std::int32_t kMostCpus = 4096;

/// proc(5), statm: pages, of which resident.
std::uint64_t own_resident_bytes() {
  const std::vector<std::string> pages = split(read_file("/proc/self/statm"), ' ');
  const std::uint64_t resident = pages.size() > 1 ? std::strtoull(pages[1].c_str(), nullptr, 10) : 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::uint64_t own_descriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return static_cast<std::uint64_t>(std::distance(begin(open), end(open)));
}

}  // namespace

std::uint64_t Tether::memory_for_containers() const {
  return memory_for_containers_ + growth_.added_memory();
}

std::vector<DiskLimit> Tether::disk_limits_of(const config::SessionResources& resources) const {
  std::vector<DiskLimit> limits;
  for (const config::IoLimit& limit : resources.io) {
    std::vector<dev_t> disks;
    for (const std::string& device : root_.disks_at(limit.path)) {
      struct stat status {};
      check(::stat(device.c_str(), &status), "stat " + device);
      disks.push_back(status.st_rdev);
    }
    for (DiskLimit& one : make_disk_limits(limit, disks)) limits.push_back(one);
  }
  return limits;
}

/// The machine has become larger or smaller.
Task<> Tether::adjust(std::int32_t cpus) {
  if (cpus < 0 || cpus > kMostCpus) throw Error(Code::invalid_argument, "{} CPUs cannot be", cpus);
  co_await growth_.wait_cpus(static_cast<unsigned>(cpus), kCpuLimit);
  Cgroup containers(cgroup_folder());
  containers.set_limits({memory_for_containers(), os::processes_for_containers(), {}});
  for (const auto& [id, configured] : config_.sessions) {
    const auto known = sessions_.find(id);
    if (known != sessions_.end() && known->second.session && known->second.status.running())
      known->second.session->cgroup().set_limits(limits_of(configured.resources));
  }
}

extraconfig::Pairs Tether::stats(const std::string& id) const {
  const CgroupUsage usage = session(id)->cgroup().usage();
  const os::Network::Counters traffic = network_.counters();
  link::Stats stats;
  stats.cpu_nanoseconds = usage.cpu_nanoseconds;
  stats.memory_bytes = usage.memory_bytes;
  stats.memory_limit_bytes = usage.memory_limit_bytes;
  if (stats.memory_limit_bytes == 0) {
    stats.memory_limit_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                               static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  stats.processes = usage.processes;
  stats.received_bytes = traffic.received_bytes;
  stats.sent_bytes = traffic.sent_bytes;
  stats.read_bytes = usage.read_bytes;
  stats.written_bytes = usage.written_bytes;
  stats.tether_resident_bytes = own_resident_bytes();
  stats.tether_descriptors = own_descriptors();
  return extraconfig::encode(stats);
}

extraconfig::Pairs Tether::processes(const std::string& id) const {
  std::string list;
  for (const pid_t process : session(id)->cgroup().processes()) {
    list += fmt::format("{}{}", list.empty() ? "" : ",", process);
  }
  return {{std::string(kProcessesKey), list}};
}

}  // namespace berth::tether
