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

}  // namespace

void mount_file_system(const std::string& source, const std::string& target, const std::string& type,
                       unsigned long flags, const char* data) {
  if (::mount(source.c_str(), target.c_str(), type.c_str(), flags, data) == 0) return;
  throw errno_error(fmt::format("mount {} on {}", type, target));
}

void bind_mount(const std::string& source, const std::string& target, unsigned long flags) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    throw errno_error(fmt::format("bind {} on {}", source, target));
  }
  if (flags == 0) return;
  if (::mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | flags, nullptr) != 0) {
    throw errno_error(fmt::format("set the flags of the mount on {}", target));
  }
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
