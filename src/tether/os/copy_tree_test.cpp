#include "tether/os/copy_tree.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fstream>

#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

struct stat status_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status;
}

TEST(CopyTree, KeepsEverythingAboutATree) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
  const TempDir folder(fs::temp_directory_path(), "copy-tree-");
  const fs::path from = folder.path() / "from";
  const fs::path to = folder.path() / "to";
  make_directories(from / "deep/er", 0755);
  make_directories(to, 0700);
  std::ofstream(from / "deep/file") << std::string(100'000, 'x');
  EXPECT_EQ(::chown((from / "deep/file").c_str(), 1000, 50), 0);
  EXPECT_EQ(::chmod((from / "deep/file").c_str(), 04750), 0);
  fs::create_hard_link(from / "deep/file", from / "deep/er/twin");
  fs::create_symlink("../outside", from / "link");
  EXPECT_EQ(::mkfifo((from / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(::chmod(from.c_str(), 01777), 0);
  const bool attributes = ::setxattr((from / "deep").c_str(), "user.note", "hello", 5, 0) == 0;
  const timespec times[] = {{1000, 5}, {2000, 7}};
  EXPECT_EQ(::utimensat(AT_FDCWD, (from / "deep").c_str(), times, 0), 0);

  copy_tree(open_file(from, O_RDONLY | O_DIRECTORY).get(), open_file(to, O_RDONLY | O_DIRECTORY).get());

  const auto file = status_of(to / "deep/file");
  EXPECT_EQ(file.st_uid, 1000u);
  EXPECT_EQ(file.st_gid, 50u);
  EXPECT_EQ(file.st_mode, S_IFREG | 04750u);
  EXPECT_EQ(file.st_size, 100'000);
  EXPECT_EQ(file.st_nlink, 2u);
  EXPECT_EQ(status_of(to / "deep/er/twin").st_ino, file.st_ino);
  EXPECT_EQ(fs::read_symlink(to / "link"), "../outside");
  EXPECT_TRUE(S_ISFIFO(status_of(to / "fifo").st_mode));
  EXPECT_EQ(status_of(to).st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(status_of(to / "deep").st_mtim.tv_sec, 2000);
  if (attributes) {
    char value[8] = {};
    EXPECT_EQ(::getxattr((to / "deep").c_str(), "user.note", value, sizeof value), 5);
  }
}

}  // namespace
}  // namespace berth::tether::os
