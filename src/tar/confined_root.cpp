#include "tar/confined_root.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::tar {
namespace {

/// Deepest folder: whoever walks the tree later holds a descriptor per level.
constexpr std::ptrdiff_t kMaxDepth = 256;
constexpr int kRenames = 64;

int open_in_root(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  int fd = -1;
  // EAGAIN: something was renamed while ".." was looked up.
  for (int attempt = 0; attempt < kRenames && fd < 0 && (attempt == 0 || errno == EAGAIN); ++attempt)
    fd = static_cast<int>(::syscall(SYS_openat2, root, name, &how, sizeof how));
  return fd;
}

/// The kernel's absolute path of an open folder bounds both its length and its depth, also of one reached by
/// links.
void check_depth(int folder, int root) {
  const auto path_of = [](int fd) {
    std::array<char, PATH_MAX> text;
    const ssize_t size =
        ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), text.data(), text.size());
    if (size < 0) throw path_error("find the path of a folder");
    return std::string(text.data(), static_cast<std::size_t>(size));
  };
  const std::string path = path_of(folder);
  const std::string base = path_of(root);
  if (path.size() + NAME_MAX + 2 > PATH_MAX ||
      std::count(path.begin(), path.end(), '/') - std::count(base.begin(), base.end(), '/') > kMaxDepth)
    throw Error(Code::corrupt, "its folders are nested too deeply");
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

UniqueFd make_folders(int root, const std::string& path) {
  UniqueFd current(::fcntl(root, F_DUPFD_CLOEXEC, 0));
  std::size_t end = 0;
  while (end != std::string::npos) {
    end = path.find('/', end == 0 ? 0 : end + 1);
    const std::string part = path.substr(0, end);
    const int next = open_in_root(root, part, O_PATH | O_DIRECTORY);
    if (next >= 0) {
      current.reset(next);
      continue;
    }
    if (errno != ENOENT) throw path_error("open the folder " + printable(part));
    check_depth(current.get(), root);
    const std::string name = part.substr(part.rfind('/') + 1);
    if (::mkdirat(current.get(), name.c_str(), 0755) != 0)
      throw path_error("make the folder " + printable(part));
    const UniqueFd made(
        ::openat(current.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    // The mode must not depend on the caller's umask.
    if (!made || ::fchmod(made.get(), 0755) != 0) throw path_error("make the folder " + printable(part));
    current.reset(open_in_root(root, part, O_PATH | O_DIRECTORY));
    if (!current) throw path_error("open the folder " + printable(part));
  }
  return current;
}

}  // namespace

Error path_error(std::string_view doing) {
  const int number = errno;
  switch (number) {
    case EEXIST:
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case EMLINK:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
      return Error(Code::corrupt, "{}", errno_error(doing, number).message());
    case EFBIG:
      return Error(Code::capacity, "{}", errno_error(doing, number).message());
    default:
      return errno_error(doing, number);
  }
}

std::string clean_path(std::string_view path) {
  std::string clean;
  if (path.find('\0') != std::string_view::npos) throw Error(Code::corrupt, "a path has a NUL character");
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..")
      throw Error(Code::corrupt, "the path \"{}\" leads out with \"..\"", printable(path, 300));
    if (part.size() > NAME_MAX)
      throw Error(Code::corrupt, "a name in a path is longer than {} bytes", NAME_MAX);
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

ConfinedRoot::ConfinedRoot(const std::filesystem::path& directory)
    : root_(open_file(directory, O_PATH | O_DIRECTORY | O_NOFOLLOW)) {}

UniqueFd ConfinedRoot::open(const std::string& path, bool follow) const {
  UniqueFd found(open_in_root(root_.get(), path, O_PATH | (follow ? 0 : O_NOFOLLOW)));
  if (!found) throw errno_error("open /" + printable(path));
  return found;
}

ConfinedRoot::Place ConfinedRoot::place(const std::string& path) {
  const std::string folder = folder_of(path);
  if (!cached_ || cached_path_ != folder) {
    cached_.reset();
    const int direct = open_in_root(root_.get(), folder, O_PATH | O_DIRECTORY);
    if (direct < 0 && errno != ENOENT) throw path_error("open the folder " + printable(folder));
    UniqueFd opened = direct >= 0 ? UniqueFd(direct) : make_folders(root_.get(), folder);
    check_depth(opened.get(), root_.get());
    struct stat status {};
    check(::fstat(opened.get(), &status), "stat a folder");
    cached_ = std::move(opened);
    cached_path_ = folder;
    cached_inode_ = status.st_ino;
  }
  return {cached_.get(), cached_inode_, path.substr(folder.empty() ? 0 : folder.size() + 1)};
}

UniqueFd ConfinedRoot::open_folder(const std::string& path) const {
  UniqueFd folder(open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
  if (!folder) throw path_error("open the folder " + printable(path));
  return folder;
}

std::optional<UniqueFd> ConfinedRoot::find_directory(const std::string& path) const {
  const int fd = open_in_root(root_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (fd < 0) return std::nullopt;
  return UniqueFd(fd);
}

}  // namespace berth::tar
