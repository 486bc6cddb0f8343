#include "tar/pack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <exception>
#include <map>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/text.hpp"
#include "base/unique_fd.hpp"
#include "tar/byte_locale.hpp"

namespace berth::tar {
namespace {

/// Deepest folder: each level holds a descriptor.
constexpr int kMaxDepth = 256;
/// Files with several names that are remembered; others come with their content for each name.
constexpr std::size_t kHardLinks = 65'536;

constexpr long kMqueueMagic = 0x19800202;  // ipc/mqueue.c
constexpr std::array<long, 13> kKernelFileSystems{
    PROC_SUPER_MAGIC, SYSFS_MAGIC,   CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC,
    DEBUGFS_MAGIC,    TRACEFS_MAGIC, SECURITYFS_MAGIC,   BPF_FS_MAGIC,        PSTOREFS_MAGIC,
    EFIVARFS_MAGIC,   SELINUX_MAGIC, kMqueueMagic};

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;
using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;
using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;

bool is_of_kernel(int fd) {
  struct statfs status {};
  check(::fstatfs(fd, &status), "look at the file system");
  const auto type = static_cast<long>(status.f_type);
  return std::find(kKernelFileSystems.begin(), kKernelFileSystems.end(), type) != kKernelFileSystems.end();
}

std::string descriptor_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

class Packing {
 public:
  explicit Packing(const Sink& sink);

  void pack_start(int folder, const std::string& entry, const std::string& name);
  void finish();
  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  void pack(int folder, const std::string& entry, const std::string& name, int depth);
  void pack_found(const UniqueFd& found, const struct stat& status, const std::string& name, int depth);
  bool pack_as_link(const struct stat& status, const std::string& name);
  void pack_file(int found, const struct stat& status, const std::string& name);
  void pack_content(int file, std::int64_t left);
  void pack_folder(int found, const struct stat& status, const std::string& name, int depth);
  void pack_symlink(int found, const struct stat& status, const std::string& name);
  static Entry make_entry(const struct stat& status, const std::string& name);
  void add_attributes(archive_entry* entry, int fd);
  void write_header(archive_entry* entry);
  void check_write(la_ssize_t result);
  static la_ssize_t write(archive* writer, void* self, const void* data, std::size_t size);

  const Sink& sink_;
  std::exception_ptr failure_;
  Writer writer_{archive_write_new(), &archive_write_free};
  std::map<std::pair<dev_t, ino_t>, std::string> hard_links_;
  std::vector<std::string> warnings_;
  bool sockets_left_out_ = false;
  /// For content, and for attributes: the largest list and the largest value.
  std::string buffer_ =
      std::string(std::max<std::size_t>({kPieceSize, XATTR_LIST_MAX, XATTR_SIZE_MAX}), '\0');
};

Packing::Packing(const Sink& sink) : sink_(sink) {
  archive_write_set_format_pax_restricted(writer_.get());
  archive_write_set_bytes_per_block(writer_.get(), static_cast<int>(kPieceSize));
  archive_write_set_bytes_in_last_block(writer_.get(), 1);
  check_write(archive_write_open(writer_.get(), this, nullptr, &Packing::write, nullptr));
}

la_ssize_t Packing::write(archive* writer, void* self, const void* data, std::size_t size) {
  auto& packing = *static_cast<Packing*>(self);
  try {
    // Freeing an archive that failed writes its rest.
    if (!packing.failure_) packing.sink_({static_cast<const char*>(data), size});
    return static_cast<la_ssize_t>(size);
  } catch (...) {
    packing.failure_ = std::current_exception();
    archive_set_error(writer, EIO, "cannot write the archive");
    return -1;
  }
}

void Packing::check_write(la_ssize_t result) {
  if (failure_) std::rethrow_exception(failure_);
  if (result >= ARCHIVE_WARN) return;
  const char* text = archive_error_string(writer_.get());
  throw Error(Code::internal, "the archive cannot be written: {}", printable(text ? text : "unknown", 300));
}

void Packing::finish() {
  check_write(archive_write_close(writer_.get()));
}

Entry Packing::make_entry(const struct stat& status, const std::string& name) {
  Entry entry(archive_entry_new(), &archive_entry_free);
  archive_entry_copy_stat(entry.get(), &status);
  archive_entry_copy_pathname(entry.get(), name.c_str());
  if (!S_ISREG(status.st_mode)) archive_entry_set_size(entry.get(), 0);
  return entry;
}

void Packing::write_header(archive_entry* entry) {
  check_write(archive_write_header(writer_.get(), entry));
}

void Packing::add_attributes(archive_entry* entry, int fd) {
  const ssize_t size = ::flistxattr(fd, buffer_.data(), buffer_.size());
  if (size <= 0) return;  // or it has none that can be read
  for (const std::string& name : split(std::string(buffer_, 0, static_cast<std::size_t>(size)), '\0')) {
    if (name != XATTR_NAME_CAPS && !name.starts_with(XATTR_USER_PREFIX)) continue;
    const ssize_t length = ::fgetxattr(fd, name.c_str(), buffer_.data(), buffer_.size());
    if (length >= 0)
      archive_entry_xattr_add_entry(entry, name.c_str(), buffer_.data(), static_cast<std::size_t>(length));
  }
}

void Packing::pack_start(int folder, const std::string& entry, const std::string& name) {
  const UniqueFd found(::openat(folder, entry.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!found) throw errno_error("open " + printable(entry, 300));
  if (is_of_kernel(found.get())) {
    throw Error(Code::unsupported, "{} is in a file system of the kernel, which cannot be copied",
                printable(entry, 300));
  }
  struct stat status {};
  check(::fstat(found.get(), &status), "stat");
  if (S_ISSOCK(status.st_mode))
    throw Error(Code::unsupported, "{} is a socket, which cannot be copied", printable(entry, 300));
  pack_found(found, status, name, 0);
}

void Packing::pack(int folder, const std::string& entry, const std::string& name, int depth) {
  const UniqueFd found(::openat(folder, entry.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!found && errno == ENOENT) return;
  if (!found) throw errno_error("open " + printable(name, 300));
  struct stat status {};
  check(::fstat(found.get(), &status), "stat " + printable(name, 300));
  pack_found(found, status, name, depth);
}

void Packing::pack_found(const UniqueFd& found, const struct stat& status, const std::string& name,
                         int depth) {
  if (S_ISDIR(status.st_mode)) return pack_folder(found.get(), status, name, depth);
  if (S_ISSOCK(status.st_mode)) {
    if (!sockets_left_out_) warnings_.emplace_back("sockets are left out");
    sockets_left_out_ = true;
    return;
  }
  if (pack_as_link(status, name)) return;
  if (S_ISREG(status.st_mode)) return pack_file(found.get(), status, name);
  if (S_ISLNK(status.st_mode)) return pack_symlink(found.get(), status, name);
  write_header(make_entry(status, name).get());
}

bool Packing::pack_as_link(const struct stat& status, const std::string& name) {
  if (status.st_nlink < 2) return false;
  const std::pair key{status.st_dev, status.st_ino};
  const auto known = hard_links_.find(key);
  if (known == hard_links_.end()) {
    if (hard_links_.size() < kHardLinks) hard_links_.emplace(key, name);
    return false;
  }
  const Entry entry = make_entry(status, name);
  archive_entry_set_size(entry.get(), 0);
  archive_entry_copy_hardlink(entry.get(), known->second.c_str());
  write_header(entry.get());
  return true;
}

void Packing::pack_file(int found, const struct stat& status, const std::string& name) {
  const UniqueFd file(::open(descriptor_path(found).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) throw errno_error("open " + printable(name, 300));
  const Entry entry = make_entry(status, name);
  add_attributes(entry.get(), file.get());
  write_header(entry.get());
  pack_content(file.get(), status.st_size);
  // Fills up what is missing.
  check_write(archive_write_finish_entry(writer_.get()));
}

void Packing::pack_content(int file, std::int64_t left) {
  while (left > 0) {
    const std::size_t wanted = std::min<std::uint64_t>(buffer_.size(), static_cast<std::uint64_t>(left));
    const ssize_t n = ::read(file, buffer_.data(), wanted);
    if (n < 0 && errno == EINTR) continue;
    check(n, "read");
    if (n == 0) return;
    check_write(archive_write_data(writer_.get(), buffer_.data(), static_cast<std::size_t>(n)));
    left -= n;
  }
}

void Packing::pack_folder(int found, const struct stat& status, const std::string& name, int depth) {
  if (depth > kMaxDepth)
    throw Error(Code::capacity, "{}: folders are nested more than {} deep", printable(name, 300), kMaxDepth);
  UniqueFd opened(::open(descriptor_path(found).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) throw errno_error("open " + printable(name, 300));
  const Entry entry = make_entry(status, name);
  add_attributes(entry.get(), opened.get());
  write_header(entry.get());
  if (is_of_kernel(opened.get())) return;
  const Directory list(::fdopendir(opened.get()));
  if (!list) throw errno_error("list " + printable(name, 300));
  const int folder = opened.release();
  const std::string prefix = name + "/";
  while (true) {
    errno = 0;
    const dirent* child = ::readdir(list.get());
    if (child == nullptr && errno != 0) throw errno_error("list " + printable(name, 300));
    if (child == nullptr) return;
    const std::string child_name = child->d_name;
    if (child_name != "." && child_name != "..") pack(folder, child_name, prefix + child_name, depth + 1);
  }
}

void Packing::pack_symlink(int found, const struct stat& status, const std::string& name) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = check(::readlinkat(found, "", target.data(), target.size()), "read the link " + name);
  const Entry entry = make_entry(status, name);
  archive_entry_copy_symlink(entry.get(), std::string(target.data(), static_cast<std::size_t>(size)).c_str());
  write_header(entry.get());
}

}  // namespace

std::vector<std::string> pack(int folder, const std::string& entry, const std::string& name,
                              const Sink& sink) {
  const ByteLocale locale;
  Packing packing(sink);
  packing.pack_start(folder, entry, name);
  packing.finish();
  return packing.take_warnings();
}

}  // namespace berth::tar
