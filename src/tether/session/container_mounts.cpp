#include "tether/session/container_mounts.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/io.hpp"
#include "tether/os/identity_files.hpp"
#include "tether/os/mount.hpp"

namespace berth::tether {
namespace {

struct FileSystem {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* data;
};

constexpr unsigned long kSafe = MS_NOSUID | MS_NODEV | MS_NOEXEC;

constexpr const char* kSharedMemory = "/dev/shm";

// In the order they go on each other.
constexpr FileSystem kFileSystems[] = {
    {"proc", "/proc", kSafe, nullptr},
    {"tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", kSharedMemory, kSafe, nullptr},
    {"mqueue", "/dev/mqueue", kSafe, nullptr},
    {"sysfs", "/sys", kSafe | MS_RDONLY, nullptr},
};

struct DeviceNode {
  const char* path;
  unsigned major;
  unsigned minor;
};

constexpr DeviceNode kDeviceNodes[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

struct Link {
  const char* path;
  const char* target;
};

constexpr Link kDeviceLinks[] = {
    {"/dev/ptmx", "pts/ptmx"},          {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", "/proc/kcore"},
};

constexpr const char* kMaskedPaths[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
};

constexpr const char* kReadOnlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                          "/proc/sysrq-trigger"};

void make_mount_point(const char* path) {
  if (::mkdir(path, 0755) != 0 && errno != EEXIST)
    throw errno_error(fmt::format("make {} in the container", path));
}

void make_devices() {
  for (const DeviceNode& node : kDeviceNodes) {
    check(::mknod(node.path, S_IFCHR | 0666, makedev(node.major, node.minor)), node.path);
  }
  for (const Link& link : kDeviceLinks) check(::symlink(link.target, link.path), link.path);
}

/// Those of this process's own namespaces.
void set_kernel_setting(const std::string& name, const std::string& value) {
  std::string path = name;
  std::replace(path.begin(), path.end(), '.', '/');
  try {
    write_kernel_file("/proc/sys/" + path, value);
  } catch (const Error& error) {
    throw Error(Code::invalid_argument, "set the sysctl {} to \"{}\": {}", name, value, error.message());
  }
}

void mask(const char* path) {
  struct stat status {};
  if (::lstat(path, &status) != 0) return;
  if (S_ISDIR(status.st_mode)) {
    os::mount_file_system("tmpfs", path, "tmpfs", kSafe | MS_RDONLY);
  } else {
    os::bind_mount("/dev/null", path);
  }
}

void protect(const char* path) {
  struct stat status {};
  if (::lstat(path, &status) != 0) return;
  os::bind_mount(path, path, kSafe | MS_RDONLY);
}

/// os::kBootIdFile; taken while the machine's root can be seen. Nothing for a pod without an id.
UniqueFd take_boot_id() {
  UniqueFd file(::open_tree(AT_FDCWD, os::kBootIdFile, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (file) {
    check(::mount_setattr(file.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes),
          "protect the boot id");
  }
  return file;
}

void place_boot_id(const UniqueFd& file) {
  if (!file) return;
  check(::move_mount(file.get(), "", AT_FDCWD, os::kBootId, MOVE_MOUNT_F_EMPTY_PATH),
        "bind the boot id in the container");
}

}  // namespace

void enter_container_root(const std::string& root, const ContainerSettings& settings) {
  // Nothing goes back, but volumes that come and go later in the root are seen.
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr), "keep the mounts to the container");
  const UniqueFd boot_id = take_boot_id();
  check(::chdir(root.c_str()), "enter the container's root");
  // The old root ends up on top of the new one and goes from there.
  check(::syscall(SYS_pivot_root, ".", "."), "change to the container's root");
  check(::umount2(".", MNT_DETACH), "leave the machine's root");
  check(::chdir("/"), "enter the container's root");

  const std::string shared_memory = fmt::format("mode=1777,size={}", settings.shared_memory);
  const mode_t mask_before = ::umask(0);
  for (const FileSystem& file_system : kFileSystems) {
    make_mount_point(file_system.target);
    const bool sized = file_system.target == kSharedMemory;
    os::mount_file_system(file_system.type, file_system.target, file_system.type, file_system.flags,
                          sized ? shared_memory.c_str() : file_system.data);
  }
  make_devices();
  ::umask(mask_before);
  for (const auto& [name, value] : settings.sysctls) set_kernel_setting(name, value);
  for (const char* path : kMaskedPaths) mask(path);
  for (const char* path : kReadOnlyPaths) protect(path);
  place_boot_id(boot_id);
}

void mount_cgroups() {
  os::mount_file_system("cgroup2", "/sys/fs/cgroup", "cgroup2", kSafe | MS_RDONLY);
}

void mount_console(const std::string& slave_path) {
  open_file("/dev/console", O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  os::bind_mount(slave_path, "/dev/console");
}

void make_root_read_only() {
  check(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), "make the root read-only");
}

}  // namespace berth::tether
