#include "tether/os/boot.hpp"

#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "tether/os/mount.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kStatusFileLimit = 64u << 10;
/// Docker's number of open files.
constexpr rlim_t kOpenFiles = 1048576;

struct FileSystem {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* data;
};

constexpr FileSystem kFileSystems[] = {
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr},
};

/// Without /dev/console in the initramfs the kernel starts PID 1 without standard streams.
void ensure_standard_streams() {
  while (true) {
    const int fd = ::open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0 || fd > 2) {
      if (fd > 2) ::close(fd);
      return;
    }
  }
}

void move_to_tmpfs() {
  constexpr const char* kNewRoot = "/root.new";
  check(::mkdir(kNewRoot, 0755), "make the new root");
  mount_file_system("tmpfs", kNewRoot, "tmpfs", MS_NOSUID, "mode=755");
  check(::chdir(kNewRoot), "enter the new root");
  check(::mount(".", "/", nullptr, MS_MOVE, nullptr), "move the new root over the initramfs");
  check(::chroot("."), "change to the new root");
  check(::chdir("/"), "enter the new root");
}

void mount_file_systems() {
  for (const FileSystem& file_system : kFileSystems) {
    if (::mkdir(file_system.target, 0755) != 0 && errno != EEXIST) throw errno_error(file_system.target);
    mount_file_system(file_system.type, file_system.target, file_system.type, file_system.flags,
                      file_system.data);
  }
}

void write_setting(const char* path, const char* value) {
  try {
    write_kernel_file(path, value);
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

/// Docker's values where it has any: they hold for every process that is started from here.
void set_limits() {
  const rlimit files{kOpenFiles, kOpenFiles};
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  check(::setrlimit(RLIMIT_NOFILE, &files), "set the limit of open files");
  for (const auto resource : {RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_NPROC})
    check(::setrlimit(resource, &unlimited), "setrlimit");
  // An unlimited soft stack would change how programs are laid out in memory.
  rlimit stack{};
  check(::getrlimit(RLIMIT_STACK, &stack), "getrlimit");
  stack.rlim_max = RLIM_INFINITY;
  check(::setrlimit(RLIMIT_STACK, &stack), "set the limit of the stack");
}

/// Everything that is mounted was written back when it was unmounted; what could not be is tried once more,
/// but an NFS server that is gone would hold whoever asks for it.
void write_back() {
  constexpr int kMilliseconds = 10'000;
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::sync();
    ::_exit(0);
  }
  const UniqueFd child(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
  pollfd ended{child.get(), POLLIN, 0};
  if (child) ::poll(&ended, 1, kMilliseconds);
}

[[noreturn]] void leave(int how) {
  write_back();
  ::reboot(how);
  // Only without CAP_SYS_BOOT; the end of PID 1 stops the machine as well.
  ::_exit(1);
}

/// What fails shows up as a missing disk or card, or in a copy, with a message for the user. Copies would
/// load theirs each for itself.
void load_more_modules(Modules& modules) {
  for (const char* list : {kDeviceModules, kCopyModules}) {
    try {
      modules.load(list);
    } catch (const Error& error) {
      log::error("{}", error.what());
    }
  }
}

void protect_this_process() {
  write_kernel_file("/proc/self/oom_score_adj", "-1000");
  // A process on its way into a container is not to be traced or looked into from there.
  check(::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "make the tether undumpable");
  ::umask(0022);
}

}  // namespace

Modules boot() {
  UniqueFd folder(::open("/modules", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  move_to_tmpfs();
  mount_file_systems();
  ensure_standard_streams();
  protect_this_process();
  set_limits();
  Modules modules(std::move(folder));
  modules.load_boot();
  load_more_modules(modules);
  if (::mkdir(std::string(kStateFolder).c_str(), 0700) != 0) throw errno_error(kStateFolder);
  // As Docker sets them for every container: no capability is needed for low ports and ping.
  write_setting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  // So that the network learns the new address of a clone's card.
  write_setting("/proc/sys/net/ipv4/conf/all/arp_notify", "1");
  return modules;
}

std::uint64_t memory_for_containers() {
  constexpr std::uint64_t kMostReserved = 64u << 20;
  constexpr std::string_view kName = "MemAvailable:";
  std::uint64_t kilobytes = 0;
  for (const std::string& line : split(read_file("/proc/meminfo", kStatusFileLimit), '\n')) {
    if (line.starts_with(kName)) kilobytes = std::strtoull(line.c_str() + kName.size(), nullptr, 10);
  }
  if (kilobytes == 0) throw Error(Code::internal, "the kernel does not say how much memory is available");
  const std::uint64_t available = kilobytes << 10;
  return available - std::min(available / 16, kMostReserved);
}

std::uint64_t processes_for_containers() {
  constexpr std::uint64_t kReserved = 64;
  std::uint64_t most = UINT64_MAX;
  for (const char* file : {"/proc/sys/kernel/threads-max", "/proc/sys/kernel/pid_max"}) {
    most =
        std::min<std::uint64_t>(most, std::strtoull(read_file(file, kStatusFileLimit).c_str(), nullptr, 10));
  }
  return most - std::min(most / 2, kReserved);
}

std::string state_path(std::string_view name) {
  return fmt::format("{}/{}", kStateFolder, name);
}

void power_off() {
  leave(RB_POWER_OFF);
}

void reboot() {
  leave(RB_AUTOBOOT);
}

std::int64_t uptime_nanoseconds() {
  timespec up{};
  check(::clock_gettime(CLOCK_BOOTTIME, &up), "read the boot clock");
  return up.tv_sec * 1'000'000'000 + up.tv_nsec;
}

void add_entropy(std::string_view bytes) {
  constexpr std::size_t kAtOnce = 256;
  const UniqueFd device = open_file("/dev/urandom", O_RDWR);
  while (!bytes.empty()) {
    const std::size_t size = std::min(bytes.size(), kAtOnce);
    alignas(rand_pool_info) std::array<char, sizeof(rand_pool_info) + kAtOnce> buffer{};
    auto* pool = reinterpret_cast<rand_pool_info*>(buffer.data());
    pool->entropy_count = static_cast<int>(size * 8);
    pool->buf_size = static_cast<int>(size);
    std::memcpy(pool->buf, bytes.data(), size);
    check(::ioctl(device.get(), RNDADDENTROPY, pool), "add entropy");
    bytes.remove_prefix(size);
  }
  check(::ioctl(device.get(), RNDRESEEDCRNG, nullptr), "reseed the random number generator");
}

}  // namespace berth::tether::os
