#include "volume/disk.hpp"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

namespace berth::volume {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kFormatLimit{120'000};
/// Below this mke2fs knows better how large a journal should be.
constexpr std::uint64_t kWholeJournalFrom = std::uint64_t{256} << 20;

/// By descriptor: an mke2fs that outlives its caller must not make a file that was removed meanwhile.
void format(int file, std::uint64_t bytes, const std::string& label) {
  constexpr int kDescriptor = 3;
  ProcessSpec spec;
  spec.program = "mke2fs";
  // The guest mounts with noinit_itable: tables are zero in a sparse file anyway.
  spec.arguments = {"-q", "-F",
                    "-t", "ext4",
                    "-m", "0",
                    "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
                    "-O", "^resize_inode",
                    "-L", label};
  if (bytes >= kWholeJournalFrom) {
    spec.arguments.insert(spec.arguments.end(), {"-J", "size=16"});
  }
  spec.arguments.push_back(fmt::format("/proc/self/fd/{}", kDescriptor));
  spec.descriptors = {{file, kDescriptor}};
  try {
    run_checked(spec, kFormatLimit);
  } catch (Error& error) {
    if (error.code() == Code::not_found) {
      throw Error(Code::unavailable, "mke2fs is missing: install the package e2fsprogs");
    }
    error.add_context("make a writable disk");
    throw;
  }
}

/// What an ext4 file system's superblock says in s_mnt_count, s_magic and s_feature_incompat
/// (Documentation/filesystems/ext4/super.rst), little endian.
struct FileSystemState {
  bool is_ext4 = false;
  bool was_mounted = false;  ///< for writing
  bool needs_recovery = false;
};

FileSystemState state_of(int fd) {
  constexpr off_t kSuperblock = 1024;
  constexpr std::size_t kMountCount = 52;
  constexpr std::size_t kMagic = 56;
  constexpr std::size_t kIncompatible = 96;
  constexpr unsigned kNeedsRecovery = 0x4;
  std::array<unsigned char, 128> block{};
  if (::pread(fd, block.data(), block.size(), kSuperblock) != static_cast<ssize_t>(block.size())) return {};
  return {block[kMagic] == 0x53 && block[kMagic + 1] == 0xef,
          (block[kMountCount] | block[kMountCount + 1]) != 0, (block[kIncompatible] & kNeedsRecovery) != 0};
}

/// Whether nothing is in its journal.
bool is_settled(int fd) {
  const FileSystemState state = state_of(fd);
  return state.is_ext4 && state.was_mounted && !state.needs_recovery;
}

bool try_lock(const UniqueFd& file, const fs::path& path) {
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK || errno == EINTR) return false;
  throw errno_error("lock " + path.string());
}

}  // namespace

void make_disk(const fs::path& file, std::uint64_t bytes, const std::string& label) {
  const UniqueFd made = open_file(file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (::ftruncate(made.get(), static_cast<off_t>(bytes)) != 0) {
    if (errno != EFBIG) throw errno_error("make the disk " + file.string());
    throw Error(Code::capacity, "the file system of {} cannot hold a file of {}: ask for less",
                file.parent_path().string(), format_binary_size(bytes));
  }
  format(made.get(), bytes, label);
  check(::fsync(made.get()), "write the disk " + file.string());
  const UniqueFd folder = open_file(file.parent_path(), O_RDONLY | O_DIRECTORY);
  check(::fsync(folder.get()), "write the folder " + file.parent_path().string());
}

bool is_unused(int file) {
  const FileSystemState state = state_of(file);
  return state.is_ext4 && !state.was_mounted;
}

std::optional<Disk> take_disk(const fs::path& file, bool read_only) {
  if (read_only) {
    UniqueFd opened = open_file(file, O_RDONLY | O_NOFOLLOW);
    if (!try_lock(opened, file)) return std::nullopt;
    if (is_settled(opened.get())) return Disk{std::move(opened), true};
  }
  UniqueFd opened = open_file(file, O_RDWR | O_NOFOLLOW);
  if (!try_lock(opened, file)) return std::nullopt;
  return Disk{std::move(opened), false};
}

}  // namespace berth::volume
