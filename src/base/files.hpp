#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"

namespace berth {

/// Makes the directory and its missing parents; an existing one is left as it is.
void make_directories(const std::filesystem::path& path, mode_t mode = 0700);

/// One line that changes when the file does. Throws not-found.
std::string fingerprint(const std::filesystem::path& path);

/// As make_directories, for a folder whose name others can guess: throws wrong-state when somebody else owns
/// it or can write to it.
void make_private_directory(const std::filesystem::path& path);

/// Removes a tree without following links; a missing one is fine. Makes unreadable folders removable first.
void remove_tree(const std::filesystem::path& path);

/// A directory of its own below `parent`, removed with all its content at the end.
class TempDir {
 public:
  /// The name is PREFIX plus six random characters.
  TempDir(const std::filesystem::path& parent, const std::string& prefix);
  TempDir(TempDir&& other) noexcept;
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();

  const std::filesystem::path& path() const { return path_; }
  /// Keeps the directory: the caller has renamed it or owns it now.
  std::filesystem::path release();

 private:
  std::filesystem::path path_;
};

/// An exclusive flock(2) on a file that is made when missing.
class FileLock {
 public:
  /// The lock at once, or nothing when somebody else holds it.
  static std::optional<FileLock> try_acquire(const std::filesystem::path& path);
  /// Waits up to `limit`; throws Code::busy with `what` is busy.
  static FileLock acquire(const std::filesystem::path& path, std::chrono::milliseconds limit,
                          const std::string& what);

  /// Takes over a lock that was inherited as a descriptor.
  static FileLock adopt(UniqueFd locked, std::filesystem::path path) {
    return FileLock(std::move(locked), std::move(path));
  }

  int fd() const { return fd_.get(); }
  /// Removes the file while the lock is held; who waits for it starts over with a new file.
  void remove_file();

 private:
  FileLock(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::filesystem::path path_;
};

/// Copies data and holes; the target must not exist. Uses reflinks where the file system has them.
void copy_sparse(const std::filesystem::path& from, const std::filesystem::path& to, mode_t mode = 0600);

/// The length of an open file in bytes, holes included. Throws errno's error, saying that it came of `doing`.
std::uint64_t file_bytes(int fd, std::string_view doing);

/// What a file takes on its disk in bytes, without its holes; 0 for one that cannot be looked at, such as a
/// missing one.
std::uint64_t allocated_bytes(const std::filesystem::path& path);

/// Takes back a file that another user was given: it is this process's own, and nobody opens it for writing
/// any more, though who has it open still may write. Throws errno's error; `what` is for its message.
void seal_file(int fd, std::string_view what);

/// The first executable NAME in PATH (sbin folders included), or nothing.
std::optional<std::filesystem::path> find_program(const std::string& name);

}  // namespace berth
