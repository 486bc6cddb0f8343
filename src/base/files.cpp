#include "base/files.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth {
namespace fs = std::filesystem;

std::string fingerprint(const fs::path& path) {
  struct stat status {};
  check(::stat(path.c_str(), &status), path.string());
  return fmt::format("{} {} {} {}.{:09}\n", path.string(), status.st_ino, status.st_size,
                     status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}

void make_directories(const fs::path& path, mode_t mode) {
  if (path.empty() || ::mkdir(path.c_str(), mode) == 0) return;
  if (errno == EEXIST) {
    if (fs::is_directory(path)) return;
    throw Error(Code::wrong_state, "{} is in the way: a directory is needed there", path.string());
  }
  if (errno != ENOENT || path.parent_path() == path) throw errno_error("make directory " + path.string());
  make_directories(path.parent_path(), mode);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    throw errno_error("make directory " + path.string());
}

void make_private_directory(const fs::path& path) {
  make_directories(path, 0700);
  struct stat info;
  check(::lstat(path.c_str(), &info), "look at " + path.string());
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 022) != 0) {
    throw Error(Code::wrong_state, "{} must be a directory that only this user can write to: remove it",
                path.string());
  }
}

namespace {

void make_folders_searchable(const fs::path& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return;
  if ((info.st_mode & 0700) != 0700) ::chmod(path.c_str(), 0700);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path, ignored)) {
    if (entry.is_directory(ignored) && !entry.is_symlink(ignored)) make_folders_searchable(entry.path());
  }
}

}  // namespace

void remove_tree(const fs::path& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  // Somebody else moves or removes it, or a part of it, at the same time.
  constexpr int kAttempts = 10;
  for (int i = 1; i < kAttempts && failure == std::errc::no_such_file_or_directory; ++i)
    fs::remove_all(path, failure);
  if (failure == std::errc::permission_denied) {
    make_folders_searchable(path);
    fs::remove_all(path, failure);
  }
  if (failure) throw errno_error("remove " + path.string(), failure.value());
}

TempDir::TempDir(const fs::path& parent, const std::string& prefix) {
  std::string name = (parent / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr)
    throw errno_error("make a temporary directory in " + parent.string());
  path_ = name;
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TempDir::~TempDir() {
  if (path_.empty()) return;
  try {
    remove_tree(path_);
  } catch (const Error&) {
    // A destructor has nobody to tell; what is left is found by its prefix.
  }
}

fs::path TempDir::release() {
  return std::exchange(path_, {});
}

std::optional<FileLock> FileLock::try_acquire(const fs::path& path) {
  while (true) {
    UniqueFd fd = open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK || errno == EINTR) return std::nullopt;
      throw errno_error("lock " + path.string());
    }
    struct stat held;
    struct stat named;
    check(::fstat(fd.get(), &held), "fstat");
    // The holder before us may have removed the file between our open and our lock.
    if (::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev) {
      return FileLock(std::move(fd), path);
    }
  }
}

void FileLock::remove_file() {
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) throw errno_error("remove " + path_.string());
}

FileLock FileLock::acquire(const fs::path& path, std::chrono::milliseconds limit, const std::string& what) {
  constexpr int kPollMilliseconds = 10;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (std::optional<FileLock> lock = try_acquire(path)) return std::move(*lock);
    if (std::chrono::steady_clock::now() >= deadline) {
      throw Error(Code::busy, "{} is busy: another berth command holds it; try again", what);
    }
    // flock(2) has no form with a time limit.
    ::poll(nullptr, 0, kPollMilliseconds);
  }
}

namespace {

void copy_range(int from, int to, off_t offset, off_t length) {
  while (length > 0) {
    ssize_t n = ::copy_file_range(from, &offset, to, nullptr, static_cast<std::size_t>(length), 0);
    if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS)) {
      n = ::sendfile(to, from, &offset, static_cast<std::size_t>(length));
    }
    if (n < 0) throw errno_error("copy");
    if (n == 0) throw Error(Code::corrupt, "the file shrank while it was copied");
    length -= n;
  }
}

void copy_data(int from, int to) {
  if (::ioctl(to, FICLONE, from) == 0) return;
  struct stat info;
  check(::fstat(from, &info), "fstat");
  check(::ftruncate(to, info.st_size), "ftruncate");
  off_t data = 0;
  while ((data = ::lseek(from, data, SEEK_DATA)) >= 0) {
    const off_t hole = check(::lseek(from, data, SEEK_HOLE), "lseek");
    check(::lseek(to, data, SEEK_SET), "lseek");
    copy_range(from, to, data, hole - data);
    data = hole;
  }
  if (errno != ENXIO) throw errno_error("lseek");
}

}  // namespace

void copy_sparse(const fs::path& from, const fs::path& to, mode_t mode) {
  const UniqueFd source = open_file(from, O_RDONLY);
  const UniqueFd target = open_file(to, O_RDWR | O_CREAT | O_EXCL, mode);
  try {
    copy_data(source.get(), target.get());
  } catch (Error& error) {
    ::unlink(to.c_str());
    error.add_context("copy " + from.string() + " to " + to.string());
    throw;
  }
}

std::uint64_t file_bytes(int fd, std::string_view doing) {
  struct stat status {};
  check(::fstat(fd, &status), doing);
  return static_cast<std::uint64_t>(status.st_size);
}

std::uint64_t allocated_bytes(const fs::path& path) {
  constexpr std::uint64_t kBlock = 512;  // stat(2), whatever the file system's blocks are
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * kBlock : 0;
}

void seal_file(int fd, std::string_view what) {
  constexpr mode_t kSealed = 0400;
  check(::fchown(fd, ::geteuid(), ::getegid()), fmt::format("take back {}", what));
  check(::fchmod(fd, kSealed), fmt::format("seal {}", what));
}

std::optional<fs::path> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? std::optional<fs::path>(name) : std::nullopt;
  }
  const char* path = ::getenv("PATH");
  std::vector<std::string> folders = split(path != nullptr ? path : "", ':');
  for (const char* folder : {"/usr/sbin", "/sbin", "/usr/bin", "/bin"}) folders.emplace_back(folder);
  for (const std::string& folder : folders) {
    if (folder.empty() || folder.front() != '/') continue;
    fs::path candidate = fs::path(folder) / name;
    if (::access(candidate.c_str(), X_OK) == 0 && !fs::is_directory(candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace berth
