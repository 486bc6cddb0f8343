#include "base/files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kLimit{5000};

TEST(Files, APrivateDirectoryIsOurs) {
  const TempDir folder("/tmp", "berth-files-");
  EXPECT_NO_THROW(make_private_directory(folder.path() / "a/b"));
  EXPECT_NO_THROW(make_private_directory(folder.path() / "a/b"));
  fs::permissions(folder.path() / "a/b", fs::perms::all);
  EXPECT_THROW(make_private_directory(folder.path() / "a/b"), Error);
  fs::create_directory_symlink(folder.path() / "a", folder.path() / "link");
  EXPECT_THROW(make_private_directory(folder.path() / "link"), Error);
}

TEST(Files, ARemovedTreeIsGoneWhateverItsModes) {
  const TempDir folder("/tmp", "berth-files-");
  make_directories(folder.path() / "tree/closed/inner");
  fs::permissions(folder.path() / "tree/closed", fs::perms::none);
  EXPECT_NO_THROW(remove_tree(folder.path() / "tree"));
  EXPECT_FALSE(fs::exists(folder.path() / "tree"));
  EXPECT_NO_THROW(remove_tree(folder.path() / "tree"));
}

TEST(Files, ACopyKeepsItsHoles) {
  const TempDir folder("/tmp", "berth-files-");
  constexpr off_t kSize = 64 << 20;
  {
    const UniqueFd fd = open_file(folder.path() / "sparse", O_RDWR | O_CREAT);
    ASSERT_EQ(::ftruncate(fd.get(), kSize), 0);
    ASSERT_EQ(::pwrite(fd.get(), "data", 4, kSize / 2), 4);
  }
  copy_sparse(folder.path() / "sparse", folder.path() / "copy");
  struct stat info;
  ASSERT_EQ(::stat((folder.path() / "copy").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, kSize);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
  EXPECT_EQ(read_file(folder.path() / "copy", 128u << 20).substr(kSize / 2, 4), "data");
  EXPECT_THROW(copy_sparse(folder.path() / "sparse", folder.path() / "copy"), Error);
}

TEST(Files, LengthAndRoomOfAFile) {
  const TempDir folder("/tmp", "berth-files-");
  const fs::path path = folder.path() / "sparse";
  const UniqueFd fd = open_file(path, O_RDWR | O_CREAT);
  EXPECT_EQ(file_bytes(fd.get(), "look"), 0u);
  EXPECT_EQ(allocated_bytes(path), 0u);
  constexpr std::uint64_t kSize = 64u << 20;
  ASSERT_EQ(::ftruncate(fd.get(), kSize), 0);
  ASSERT_EQ(::pwrite(fd.get(), "data", 4, 0), 4);
  EXPECT_EQ(file_bytes(fd.get(), "look"), kSize);
  EXPECT_GE(allocated_bytes(path), 4u);
  EXPECT_LT(allocated_bytes(path), 1u << 20);
  EXPECT_EQ(allocated_bytes(folder.path() / "missing"), 0u);
  try {
    file_bytes(-1, "look at it");
    FAIL() << "a file that is not open";
  } catch (const Error& error) {
    EXPECT_TRUE(error.message().starts_with("look at it")) << error.message();
  }
}

TEST(Files, ASealedFileIsOursAndReadOnly) {
  const TempDir folder("/tmp", "berth-files-");
  const UniqueFd fd = open_file(folder.path() / "f", O_RDWR | O_CREAT, 0666);
  if (::geteuid() == 0) {
    ASSERT_EQ(::fchown(fd.get(), 12345, 12345), 0);
  }
  seal_file(fd.get(), "a file");
  struct stat info;
  ASSERT_EQ(::fstat(fd.get(), &info), 0);
  EXPECT_EQ(info.st_uid, ::geteuid());
  EXPECT_EQ(info.st_gid, ::getegid());
  EXPECT_EQ(info.st_mode & 07777u, 0400u);
  EXPECT_THROW(seal_file(-1, "a file"), Error);
}

TEST(FileLock, HasOneHolder) {
  const TempDir folder("/tmp", "berth-files-");
  const fs::path path = folder.path() / "lock";
  {
    const FileLock held = FileLock::acquire(path, kLimit, "it");
    EXPECT_FALSE(FileLock::try_acquire(path));
    try {
      FileLock::acquire(path, std::chrono::milliseconds(20), "container x");
      FAIL() << "two holders";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::busy);
      EXPECT_TRUE(error.message().starts_with("container x is busy"));
    }
  }
  EXPECT_TRUE(FileLock::try_acquire(path));
}

TEST(FileLock, RemovedWhileHeldMakesRoomForANewOne) {
  const TempDir folder("/tmp", "berth-files-");
  const fs::path path = folder.path() / "lock";
  FileLock held = FileLock::acquire(path, kLimit, "it");
  held.remove_file();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(FileLock::try_acquire(path));
}

TEST(Files, AtomicWritingReplacesAndLeavesNothing) {
  const TempDir folder("/tmp", "berth-files-");
  write_file_atomically(folder.path() / "f", "one");
  write_file_atomically(folder.path() / "f", "two", 0644);
  EXPECT_EQ(read_file(folder.path() / "f"), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  EXPECT_FALSE(find_file(folder.path() / "missing"));
  EXPECT_THROW(read_file(folder.path() / "f", 2), Error);
}

}  // namespace
}  // namespace berth
