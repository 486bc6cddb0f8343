#include "tether/os/mount.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::tether::os {
namespace {

int open_below(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how));
}

UniqueFd make_child(int root, const std::string& parent, const std::string& name, bool file) {
  const UniqueFd folder(check(open_below(root, parent, O_PATH | O_DIRECTORY), "open " + parent));
  if (file) {
    const UniqueFd made(check(
        ::openat(folder.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644),
        fmt::format("make {}/{}", parent, name)));
  } else {
    check(::mkdirat(folder.get(), name.c_str(), 0755), fmt::format("make {}/{}", parent, name));
  }
  return UniqueFd(
      check(::openat(folder.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC), "open " + name));
}

/// Those that are not given are taken away.
mount_attr attributes_of(unsigned long flags) {
  mount_attr attributes{};
  attributes.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if ((flags & MS_RDONLY) != 0) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  if ((flags & MS_NOSUID) != 0) attributes.attr_set |= MOUNT_ATTR_NOSUID;
  if ((flags & MS_NODEV) != 0) attributes.attr_set |= MOUNT_ATTR_NODEV;
  if ((flags & MS_NOEXEC) != 0) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
  if ((flags & MS_NODIRATIME) != 0) attributes.attr_set |= MOUNT_ATTR_NODIRATIME;
  if ((flags & MS_NOATIME) != 0) {
    attributes.attr_clr |= MOUNT_ATTR__ATIME;
    attributes.attr_set |= MOUNT_ATTR_NOATIME;
  }
  return attributes;
}

}  // namespace

void mount_file_system(const std::string& source, const std::string& target, const std::string& type,
                       unsigned long flags, const char* data) {
  if (::mount(source.c_str(), target.c_str(), type.c_str(), flags, data) == 0) return;
  throw errno_error(fmt::format("mount {} on {}", type, target));
}

void bind_mount(const std::string& source, const std::string& target, unsigned long flags) {
  const std::string what = fmt::format("bind {} on {}", source, target);
  const UniqueFd tree(
      check(::open_tree(AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC), what));
  // Before it is in its place: flags that are changed later do not reach its copies in the containers.
  if (flags != 0) {
    mount_attr attributes = attributes_of(flags);
    check(::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes), what);
  }
  check(
      ::move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS),
      what);
}

std::string descriptor_path(int fd) {
  return fmt::format("/proc/self/fd/{}", fd);
}

UniqueFd find_in_root(int root, const std::string& path) {
  UniqueFd found(open_below(root, path, O_PATH));
  if (!found && errno != ENOENT && errno != ENOTDIR)
    throw errno_error(fmt::format("open {} in the container", path));
  return found;
}

UniqueFd make_in_root(int root, const std::string& path, bool file) {
  if (UniqueFd found = find_in_root(root, path)) return found;
  std::string parent = ".";
  const auto names = split(path, '/');
  UniqueFd last;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || names[i] == ".") continue;
    const bool make_file = file && i + 1 == names.size();
    last = find_in_root(root, parent + "/" + names[i]);
    if (!last) last = make_child(root, parent, names[i], make_file);
    parent += "/" + names[i];
  }
  if (!last) throw Error(Code::invalid_argument, "\"{}\" is not a path for a mount", path);
  return last;
}

}  // namespace berth::tether::os
