#include "image/layer_tree.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::image {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::string_view kAufsPrefix = ".wh..wh.";

struct Device {
  unsigned major;
  unsigned minor;
};
/// Devices that give nothing away: whiteout of overlayfs, null, zero, full, random, urandom, tty, console,
/// ptmx, tun, fuse.
constexpr std::array<Device, 11> kHarmlessDevices{
    {{0, 0}, {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {10, 200}, {10, 229}}};

enum Warning : unsigned { no_owners = 1, no_devices = 2, no_attributes = 4 };

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

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> names_in(int directory) {
  UniqueFd own = duplicate(directory);
  const std::unique_ptr<DIR, CloseDirectory> list(::fdopendir(own.get()));
  if (!list) throw errno_error("list a folder");
  (void)own.release();
  ::rewinddir(list.get());
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(list.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

void remove_all(int folder, const std::string& name) {
  if (::unlinkat(folder, name.c_str(), 0) == 0 || errno == ENOENT) return;
  if (errno != EISDIR && errno != EPERM) throw path_error("remove " + printable(name));
  {
    const UniqueFd directory = open_directory(folder, name);
    for (const std::string& child : names_in(directory.get())) remove_all(directory.get(), child);
  }
  if (::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0)
    throw path_error("remove the folder " + printable(name));
}

std::uint64_t free_space(int fd) {
  struct statvfs status {};
  check(::fstatvfs(fd, &status), "find the free disk space");
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace

LayerTree::LayerTree(const std::filesystem::path& directory, const UnpackLimits& limits)
    : root_(directory), limits_(limits), free_space_(free_space(root_.fd())) {}

void LayerTree::begin_layer() {
  made_.clear();
  directory_times_.clear();
  root_.forget_folder();
}

void LayerTree::end_layer() {
  for (const auto& [path, time] : directory_times_)
    if (const auto directory = root_.find_directory(path)) set_time(directory->get(), time);
  begin_layer();
}

void LayerTree::count(archive_entry* entry) {
  if (++entries_ > limits_.entries)
    throw Error(Code::capacity, "the image has more than {} files", limits_.entries);
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) != AE_IFREG) return;
  const std::int64_t size = archive_entry_size(entry);
  if (size < 0) throw Error(Code::corrupt, "its size is negative");
  if (static_cast<std::uint64_t>(size) > limits_.bytes - bytes_)
    throw Error(Code::capacity, "the image unpacks to more than {}", format_binary_size(limits_.bytes));
  bytes_ += static_cast<std::uint64_t>(size);
  if (bytes_ > free_space_)
    throw Error(Code::capacity, "the image unpacks to more than the {} that are free on the disk",
                format_binary_size(free_space_));
}

void LayerTree::apply(archive_entry* entry, const DataSource& data) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr || *name == '\0') throw Error(Code::corrupt, "it has no name");
  for (const char* text : {name, archive_entry_hardlink(entry), archive_entry_symlink(entry)})
    if (text != nullptr && std::string_view(text).size() > limits_.name_length)
      throw Error(Code::corrupt, "its name or target is longer than {} bytes", limits_.name_length);
  count(entry);
  const std::string path = clean_path(name);
  if (path.empty()) return apply_root(entry);
  if (apply_whiteout(path)) return;
  const Place place = root_.place(path);
  clear(place, archive_entry_hardlink(entry) == nullptr && archive_entry_filetype(entry) == AE_IFDIR);
  const Place fresh = root_.place(path);
  make(entry, path, fresh, data);
  made_.emplace(fresh.folder_inode, fresh.name);
}

bool LayerTree::apply_whiteout(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (!name.starts_with(kWhiteout)) return false;
  if (name == kOpaque) {
    const UniqueFd opened = root_.open_folder(folder);
    const UniqueFd directory = open_directory(opened.get(), ".");
    remove_lower_content(directory.get());
  } else if (!name.starts_with(kAufsPrefix)) {
    const std::string hidden = name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..")
      throw Error(Code::corrupt, "it hides no valid name");
    const Place place = root_.place(path);
    remove_lower(place.folder, place.folder_inode, hidden);
  }
  root_.forget_folder();
  return true;
}

void LayerTree::remove_lower(int folder, ino_t folder_inode, const std::string& name) {
  const auto status = find_status(folder, name);
  if (!status) return;
  const bool made = made_.contains({folder_inode, name});
  if (!S_ISDIR(status->st_mode)) {
    if (!made && ::unlinkat(folder, name.c_str(), 0) != 0) throw path_error("remove " + printable(name));
    return;
  }
  {
    const UniqueFd directory = open_directory(folder, name);
    remove_lower_content(directory.get());
  }
  if (!made && ::unlinkat(folder, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != EEXIST)
    throw path_error("remove the folder " + printable(name));
}

void LayerTree::remove_lower_content(int directory) {
  struct stat status {};
  check(::fstat(directory, &status), "stat a folder");
  for (const std::string& name : names_in(directory)) remove_lower(directory, status.st_ino, name);
}

void LayerTree::clear(const Place& place, bool keep_directory) {
  const auto status = find_status(place.folder, place.name);
  if (!status || (keep_directory && S_ISDIR(status->st_mode))) return;
  remove_all(place.folder, place.name);
  root_.forget_folder();
}

void LayerTree::make(archive_entry* entry, const std::string& path, const Place& place,
                     const DataSource& data) {
  if (const char* target = archive_entry_hardlink(entry)) return make_hard_link(target, place);
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return make_file(entry, place, data);
    case AE_IFDIR:
      return make_directory(entry, path, place);
    case AE_IFLNK:
      return make_symlink(entry, place);
    case AE_IFIFO:
    case AE_IFCHR:
      return make_node(entry, place);
    case AE_IFBLK:
      throw Error(Code::unsupported, "a block device ({}:{}) has no place in an image",
                  archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry));
    default:
      throw Error(Code::unsupported, "it is of a kind that has no place in an image");
  }
}

void LayerTree::make_file(archive_entry* entry, const Place& place, const DataSource& data) {
  const UniqueFd file(
      ::openat(place.folder, place.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) throw path_error("make the file");
  const std::int64_t total = archive_entry_size(entry);
  const void* bytes = nullptr;
  std::size_t size = 0;
  std::int64_t offset = 0;
  while (data(bytes, size, offset)) {
    if (offset < 0 || offset > total || static_cast<std::uint64_t>(total - offset) < size)
      throw Error(Code::corrupt, "its data goes beyond its size");
    const char* from = static_cast<const char*>(bytes);
    while (size > 0) {
      const ssize_t written = ::pwrite(file.get(), from, size, offset);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw path_error("write the file");
      from += written;
      offset += written;
      size -= static_cast<std::size_t>(written);
    }
  }
  if (::ftruncate(file.get(), total) != 0) throw path_error("size the file");
  set_owner_and_mode(entry, file.get());
  set_attributes(entry, file.get());
  set_time(file.get(), time_of(entry));
}

void LayerTree::make_directory(archive_entry* entry, const std::string& path, const Place& place) {
  if (::mkdirat(place.folder, place.name.c_str(), 0700) != 0 && errno != EEXIST)
    throw path_error("make the folder");
  const UniqueFd directory = open_directory(place.folder, place.name);
  set_owner_and_mode(entry, directory.get());
  set_attributes(entry, directory.get());
  directory_times_.emplace_back(path, time_of(entry));
}

void LayerTree::apply_root(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) != AE_IFDIR)
    throw Error(Code::corrupt, "the root is no folder");
  const UniqueFd directory = open_directory(root_.fd(), ".");
  set_owner_and_mode(entry, directory.get());
  set_attributes(entry, directory.get());
  directory_times_.emplace_back("", time_of(entry));
}

void LayerTree::make_hard_link(const std::string& target, const Place& place) {
  const std::string path = clean_path(target);
  if (path.empty()) throw Error(Code::corrupt, "a hard link to the root");
  const auto slash = path.rfind('/');
  const UniqueFd folder = root_.open_folder(slash == std::string::npos ? "" : path.substr(0, slash));
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  const auto status = find_status(folder.get(), name);
  if (!status || S_ISDIR(status->st_mode))
    throw Error(Code::corrupt, "a hard link to \"{}\", which is {}", printable(target, 300),
                status ? "a folder" : "not in the image");
  if (::linkat(folder.get(), name.c_str(), place.folder, place.name.c_str(), 0) != 0)
    throw path_error("make a hard link to " + printable(target, 300));
}

void LayerTree::make_symlink(archive_entry* entry, const Place& place) {
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr || ::symlinkat(target, place.folder, place.name.c_str()) != 0)
    throw target == nullptr ? Error(Code::corrupt, "a symbolic link without a target")
                            : path_error("make the link");
  set_owner(entry, place.folder, place.name);
  set_time(place.folder, place.name, time_of(entry));
}

void LayerTree::make_node(archive_entry* entry, const Place& place) {
  const bool fifo = archive_entry_filetype(entry) == AE_IFIFO;
  const unsigned major = static_cast<unsigned>(archive_entry_rdevmajor(entry));
  const unsigned minor = static_cast<unsigned>(archive_entry_rdevminor(entry));
  const bool harmless =
      std::any_of(kHarmlessDevices.begin(), kHarmlessDevices.end(),
                  [&](const Device& device) { return device.major == major && device.minor == minor; });
  if (!fifo && !harmless)
    throw Error(Code::unsupported, "the character device {}:{} has no place in an image", major, minor);
  const mode_t permissions = archive_entry_perm(entry) & 07777;
  if (::mknodat(place.folder, place.name.c_str(), (fifo ? S_IFIFO : S_IFCHR) | 0600,
                fifo ? 0 : ::makedev(major, minor)) != 0) {
    if (fifo || errno != EPERM) throw path_error("make the node");
    warn_once(no_devices, "device nodes are left out, as only root may make them");
    return;
  }
  set_owner(entry, place.folder, place.name);
  if (::fchmodat(place.folder, place.name.c_str(), permissions, 0) != 0) throw path_error("set its mode");
  set_time(place.folder, place.name, time_of(entry));
}

void LayerTree::set_owner(archive_entry* entry, int folder, const std::string& name) {
  const std::int64_t uid = archive_entry_uid(entry);
  const std::int64_t gid = archive_entry_gid(entry);
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX)
    throw Error(Code::corrupt, "its owner {}:{} is out of range", uid, gid);
  if (::geteuid() != 0) return warn_once(no_owners, "owners are left out, as only root may set them");
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

void LayerTree::set_owner_and_mode(archive_entry* entry, int fd) {
  set_owner(entry, fd, "");
  if (::fchmod(fd, archive_entry_perm(entry) & 07777) != 0) throw path_error("set its mode");
}

void LayerTree::set_attributes(archive_entry* entry, int fd) {
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr) continue;
    const std::string_view key = name;
    if (key != XATTR_NAME_CAPS && !key.starts_with(XATTR_USER_PREFIX)) continue;
    if (::fsetxattr(fd, name, value == nullptr ? "" : value, size, 0) == 0) continue;
    if (errno != EPERM && errno != EOPNOTSUPP) throw path_error("set the attribute " + printable(key, 300));
    warn_once(no_attributes,
              "extended attributes are left out, as the file system or the user may not have them");
  }
}

void LayerTree::warn_once(unsigned kind, std::string text) {
  if ((warned_ & kind) != 0) return;
  warned_ |= kind;
  warnings_.push_back(std::move(text));
}

}  // namespace berth::image
