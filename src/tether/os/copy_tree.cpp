#include "tether/os/copy_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "tether/os/mount.hpp"

namespace berth::tether::os {
namespace {

/// Deeper trees are an error instead of a full stack.
constexpr int kDeepest = 512;

class TreeCopy {
 public:
  TreeCopy(int from, int to) : target_(to) {
    struct stat status {};
    check(::fstat(from, &status), "look at the source of a copy");
    device_ = status.st_dev;
    copy_directory(from, to, "", status, 0);
  }

 private:
  void copy_directory(int from, int to, const std::string& path, const struct stat& status, int depth);
  void copy_entry(int from, int to, const std::string& name, const std::string& path, int depth);
  void copy_file(int from, int to, const std::string& name, const struct stat& status);
  void copy_symbolic_link(int from, int to, const std::string& name);
  void finish_entry(int from, int to, const std::string& name, const struct stat& status);
  void copy_attributes(const std::string& from, const std::string& to);

  int target_;
  dev_t device_ = 0;
  std::map<ino_t, std::string> linked_;  // inodes with several names, and the first of them below the target
};

/// A path that names an entry of an open directory, for the calls that have no *at form.
std::string entry_path(int directory, const std::string& name) {
  return descriptor_path(directory) + "/" + name;
}

std::vector<std::string> names_in(int directory) {
  UniqueFd copy(check(::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open a directory"));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(copy.get()), &::closedir);
  if (!entries) throw errno_error("read a directory");
  (void)copy.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(entries.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

void TreeCopy::copy_directory(int from, int to, const std::string& path, const struct stat& status,
                              int depth) {
  if (depth > kDeepest) throw Error(Code::capacity, "{} is too deep to copy", path);
  for (const std::string& name : names_in(from)) {
    const std::string below = path.empty() ? name : path + "/" + name;
    try {
      copy_entry(from, to, name, below, depth);
    } catch (Error& error) {
      if (error.contexts().empty()) error.add_context("copy " + below);
      throw;
    }
  }
  finish_entry(from, to, ".", status);
}

void TreeCopy::copy_entry(int from, int to, const std::string& name, const std::string& path, int depth) {
  struct stat status {};
  check(::fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW), "stat");
  if (S_ISDIR(status.st_mode)) {
    if (status.st_dev != device_) return;
    check(::mkdirat(to, name.c_str(), 0700), "mkdir");
    const UniqueFd source(
        check(::openat(from, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open"));
    const UniqueFd copy(
        check(::openat(to, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open"));
    return copy_directory(source.get(), copy.get(), path, status, depth + 1);
  }
  if (status.st_nlink > 1) {
    const auto [first, added] = linked_.emplace(status.st_ino, path);
    if (!added) {
      check(::linkat(target_, first->second.c_str(), to, name.c_str(), 0), "link");
      return;
    }
  }
  if (S_ISREG(status.st_mode)) {
    copy_file(from, to, name, status);
  } else if (S_ISLNK(status.st_mode)) {
    copy_symbolic_link(from, to, name);
  } else {
    check(::mknodat(to, name.c_str(), status.st_mode & ~07777u, status.st_rdev), "mknod");
  }
  finish_entry(from, to, name, status);
}

void TreeCopy::copy_file(int from, int to, const std::string& name, const struct stat& status) {
  const UniqueFd source(check(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC), "open"));
  const UniqueFd copy(check(
      ::openat(to, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), "create"));
  for (off_t left = status.st_size; left > 0;) {
    const ssize_t n =
        check(::sendfile(copy.get(), source.get(), nullptr, static_cast<std::size_t>(left)), "copy");
    if (n == 0) break;
    left -= n;
  }
}

void TreeCopy::copy_symbolic_link(int from, int to, const std::string& name) {
  std::string text(PATH_MAX, '\0');
  const ssize_t n = check(::readlinkat(from, name.c_str(), text.data(), text.size() - 1), "read a link");
  text.resize(static_cast<std::size_t>(n));
  check(::symlinkat(text.c_str(), to, name.c_str()), "make a link");
}

void TreeCopy::finish_entry(int from, int to, const std::string& name, const struct stat& status) {
  check(::fchownat(to, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW), "change the owner");
  // After the owner: a change of that clears the set-user-id bit and file capabilities.
  if (!S_ISLNK(status.st_mode))
    check(::fchmodat(to, name.c_str(), status.st_mode & 07777u, 0), "change the mode");
  copy_attributes(entry_path(from, name), entry_path(to, name));
  const timespec times[] = {status.st_atim, status.st_mtim};
  check(::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW), "set the times");
}

void TreeCopy::copy_attributes(const std::string& from, const std::string& to) {
  std::string names(XATTR_LIST_MAX, '\0');
  const ssize_t size = ::llistxattr(from.c_str(), names.data(), names.size());
  if (size <= 0) return;
  std::string value(XATTR_SIZE_MAX, '\0');
  for (const char* name = names.data(); name < names.data() + size;
       name += std::char_traits<char>::length(name) + 1) {
    const std::string_view text = name;
    if (text.starts_with("trusted.")) continue;  // overlayfs's own
    const ssize_t length = ::lgetxattr(from.c_str(), name, value.data(), value.size());
    if (length < 0) continue;
    if (::lsetxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(length), 0) != 0 &&
        errno != ENOTSUP) {
      throw errno_error("set an extended attribute");
    }
  }
}

}  // namespace

void copy_tree(int from, int to) {
  TreeCopy(from, to);
}

}  // namespace berth::tether::os
