#include "tar/tree_writer.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tar {
namespace {

struct Device {
  unsigned major;
  unsigned minor;
};
/// Devices that give nothing away: whiteout of overlayfs, null, zero, full, random, urandom, tty, console,
/// ptmx, tun, fuse.
constexpr std::array<Device, 11> kHarmlessDevices{
    {{0, 0}, {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {10, 200}, {10, 229}}};

/// Beyond it directories keep the time at which they were made.
constexpr std::size_t kDirectoryTimes = 1'000'000;

/// Kinds of warnings, each said once.
constexpr unsigned kNoOwners = 1;
constexpr unsigned kNoDevices = 2;
constexpr unsigned kNoAttributes = 4;
constexpr unsigned kNoTimes = 8;

timespec time_of(archive_entry* entry) {
  if (!archive_entry_mtime_is_set(entry)) return {0, 0};
  return {archive_entry_mtime(entry), std::clamp(archive_entry_mtime_nsec(entry), 0L, 999'999'999L)};
}

void set_time(int fd, timespec time) {
  const timespec times[2] = {time, time};
  if (::futimens(fd, times) != 0) throw path_error("set its time");
}

void set_time(int folder, const std::string& name, timespec time) {
  const timespec times[2] = {time, time};
  if (::utimensat(folder, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw path_error("set its time");
}

void write_at(int fd, const char* from, std::size_t size, std::int64_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(fd, from, size, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw path_error("write the file");
    from += written;
    offset += written;
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace

std::optional<struct stat> find_status(int folder, const std::string& name) {
  struct stat status {};
  if (::fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status;
  if (errno == ENOENT) return std::nullopt;
  throw path_error("look at it");
}

UniqueFd open_directory(int folder, const std::string& name) {
  UniqueFd fd(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) throw path_error("open the folder " + printable(name));
  return fd;
}

void TreeWriter::make(archive_entry* entry, const std::string& path, const Place& place,
                      const std::optional<std::string>& hard_link, const DataSource& data) {
  if (hard_link) return make_hard_link(*hard_link, place);
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return make_file(entry, place, data);
    case AE_IFDIR:
      return make_directory(entry, path, place);
    case AE_IFLNK:
      return make_symlink(entry, place);
    case AE_IFIFO:
    case AE_IFCHR:
    case AE_IFBLK:
      return make_node(entry, place);
    default:
      throw Error(Code::unsupported, "it is of a kind that cannot be made from an archive");
  }
}

void TreeWriter::finish() {
  for (const auto& [path, time] : directory_times_)
    if (const auto directory = root_.find_directory(path)) set_time(directory->get(), time);
  directory_times_.clear();
  root_.forget_folder();
}

void TreeWriter::make_file(archive_entry* entry, const Place& place, const DataSource& data) {
  const UniqueFd file(
      ::openat(place.folder, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw path_error("make the file");
  const std::int64_t total = archive_entry_size(entry);
  if (total < 0) throw Error(Code::corrupt, "its size is negative");
  const void* bytes = nullptr;
  std::size_t size = 0;
  std::int64_t offset = 0;
  while (data(bytes, size, offset)) {
    if (offset < 0 || offset > total || static_cast<std::uint64_t>(total - offset) < size)
      throw Error(Code::corrupt, "its data goes beyond its size");
    write_at(file.get(), static_cast<const char*>(bytes), size, offset);
  }
  if (::ftruncate(file.get(), total) != 0) throw path_error("size the file");
  set_owner_and_mode(entry, file.get());
  set_attributes(entry, file.get());
  set_time(file.get(), time_of(entry));
}

void TreeWriter::make_directory(archive_entry* entry, const std::string& path, const Place& place) {
  if (::mkdirat(place.folder, place.name.c_str(), 0700) != 0 && errno != EEXIST)
    throw path_error("make the folder");
  const UniqueFd directory = open_directory(place.folder, place.name);
  apply_to_directory(entry, path, directory.get());
}

void TreeWriter::apply_to_directory(archive_entry* entry, const std::string& path, int directory) {
  set_owner_and_mode(entry, directory);
  set_attributes(entry, directory);
  if (directory_times_.size() < kDirectoryTimes) {
    directory_times_.emplace_back(path, time_of(entry));
  } else {
    warn_once(kNoTimes, "times of folders are left out, as there are too many of them");
  }
}

void TreeWriter::apply_to_root(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) != AE_IFDIR)
    throw Error(Code::corrupt, "the root is no folder");
  const UniqueFd directory = open_directory(root_.fd(), ".");
  apply_to_directory(entry, "", directory.get());
}

void TreeWriter::make_hard_link(const std::string& target, const Place& place) {
  if (target.empty()) throw Error(Code::corrupt, "a hard link to the root");
  const auto slash = target.rfind('/');
  const UniqueFd folder = root_.open_folder(slash == std::string::npos ? "" : target.substr(0, slash));
  const std::string name = target.substr(slash == std::string::npos ? 0 : slash + 1);
  const auto status = find_status(folder.get(), name);
  if (!status || S_ISDIR(status->st_mode))
    throw Error(Code::corrupt, "a hard link to \"{}\", which is {}", printable(target, 300),
                status ? "a folder" : "not there");
  if (::linkat(folder.get(), name.c_str(), place.folder, place.name.c_str(), 0) != 0)
    throw path_error("make a hard link to " + printable(target, 300));
}

void TreeWriter::make_symlink(archive_entry* entry, const Place& place) {
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || ::symlinkat(target, place.folder, place.name.c_str()) != 0)
    throw target == nullptr ? Error(Code::corrupt, "a symbolic link without a target")
                            : path_error("make the link");
  set_owner(entry, place.folder, place.name);
  set_time(place.folder, place.name, time_of(entry));
}

void TreeWriter::check_device(archive_entry* entry) const {
  const bool block = archive_entry_filetype(entry) == AE_IFBLK;
  const auto major = static_cast<unsigned>(archive_entry_rdevmajor(entry));
  const auto minor = static_cast<unsigned>(archive_entry_rdevminor(entry));
  const bool harmless =
      std::any_of(kHarmlessDevices.begin(), kHarmlessDevices.end(),
                  [&](const Device& device) { return device.major == major && device.minor == minor; });
  if (rules_.devices == Devices::any || (rules_.devices == Devices::harmless && harmless && !block)) return;
  throw Error(Code::unsupported, "it is a {} device ({}:{}), which is not made here",
              block ? "block" : "character", major, minor);
}

void TreeWriter::make_node(archive_entry* entry, const Place& place) {
  const bool fifo = archive_entry_filetype(entry) == AE_IFIFO;
  if (!fifo) check_device(entry);
  const dev_t device = fifo ? 0
                            : ::makedev(static_cast<unsigned>(archive_entry_rdevmajor(entry)),
                                        static_cast<unsigned>(archive_entry_rdevminor(entry)));
  if (::mknodat(place.folder, place.name.c_str(), archive_entry_filetype(entry) | 0600u, device) != 0) {
    if (fifo || errno != EPERM) throw path_error("make the node");
    warn_once(kNoDevices, "device nodes are left out, as only root may make them");
    return;
  }
  // A name may have become a link meanwhile, which fchmodat(2) would follow out of the root.
  const UniqueFd node(::openat(place.folder, place.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!node) throw path_error("open the node");
  set_owner(entry, node.get(), "");
  if (::chmod(fmt::format("/proc/self/fd/{}", node.get()).c_str(), permissions(entry)) != 0)
    throw path_error("set its mode");
  set_time(place.folder, place.name, time_of(entry));
}

void TreeWriter::set_owner(archive_entry* entry, int folder, const std::string& name) {
  if (rules_.owners == Owners::of_process) return;
  const bool named = rules_.owners == Owners::of_archive;
  const std::int64_t uid = named ? archive_entry_uid(entry) : 0;
  const std::int64_t gid = named ? archive_entry_gid(entry) : 0;
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
    throw Error(Code::corrupt, "its owner {}:{} is out of range", uid, gid);
  if (::geteuid() != 0) return warn_once(kNoOwners, "owners are left out, as only root may set them");
  const int flags = AT_SYMLINK_NOFOLLOW | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::fchownat(folder, name.c_str(), static_cast<uid_t>(uid), static_cast<gid_t>(gid), flags) == 0) return;
  if (errno == EINVAL)
    throw Error(
        Code::unsupported,
        "its owner {}:{} is beyond the subordinate ids of this user; widen the ranges in /etc/subuid and "
        "/etc/subgid",
        uid, gid);
  throw path_error("set its owner");
}

mode_t TreeWriter::permissions(archive_entry* entry) const {
  const mode_t mode = archive_entry_perm(entry) & 07777;
  return rules_.privileges ? mode : mode & ~static_cast<mode_t>(S_ISUID | S_ISGID);
}

void TreeWriter::set_owner_and_mode(archive_entry* entry, int fd) {
  set_owner(entry, fd, "");
  if (::fchmod(fd, permissions(entry)) != 0) throw path_error("set its mode");
}

void TreeWriter::set_attributes(archive_entry* entry, int fd) {
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr) continue;
    const std::string_view key = name;
    const bool privilege = key == XATTR_NAME_CAPS;
    if (privilege ? !rules_.privileges : !key.starts_with(XATTR_USER_PREFIX)) continue;
    if (::fsetxattr(fd, name, value == nullptr ? "" : value, size, 0) == 0) continue;
    if (errno != EPERM && errno != EOPNOTSUPP) throw path_error("set the attribute " + printable(key, 300));
    warn_once(kNoAttributes,
              "extended attributes are left out, as the file system or the user may not have them");
  }
}

void TreeWriter::warn_once(unsigned kind, std::string text) {
  if ((warned_ & kind) != 0) return;
  warned_ |= kind;
  warnings_.push_back(std::move(text));
}

}  // namespace berth::tar
