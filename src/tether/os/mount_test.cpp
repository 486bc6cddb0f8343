#include "tether/os/mount.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "tether/os/container_root.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

class InRoot : public testing::Test {
 protected:
  InRoot() : folder_(fs::temp_directory_path(), "in-root-") {
    make_directories(folder_.path() / "root/etc", 0755);
    make_directories(folder_.path() / "outside", 0755);
    fs::create_symlink("../../outside", folder_.path() / "root/escape");
    fs::create_symlink("/etc", folder_.path() / "root/absolute");
    root_ = open_file(folder_.path() / "root", O_PATH | O_DIRECTORY);
  }

  std::string place_of(const UniqueFd& fd) const {
    return fs::relative(fs::read_symlink(descriptor_path(fd.get())), fs::canonical(folder_.path())).string();
  }

  TempDir folder_;
  UniqueFd root_;
};

TEST_F(InRoot, FindsAndMakes) {
  EXPECT_FALSE(find_in_root(root_.get(), "/a"));
  EXPECT_EQ(place_of(make_in_root(root_.get(), "/a/b/c")), "root/a/b/c");
  EXPECT_EQ(place_of(find_in_root(root_.get(), "a/b")), "root/a/b");
  EXPECT_EQ(place_of(make_in_root(root_.get(), "/etc/hosts", true)), "root/etc/hosts");
  EXPECT_TRUE(fs::is_regular_file(folder_.path() / "root/etc/hosts"));
}

TEST_F(InRoot, LinksAndDotsStayInside) {
  EXPECT_EQ(place_of(make_in_root(root_.get(), "/absolute/x")), "root/etc/x");
  EXPECT_EQ(place_of(make_in_root(root_.get(), "/../../y")), "root/y");
  EXPECT_FALSE(find_in_root(root_.get(), "/escape"));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "outside"));
}

TEST_F(InRoot, TheRootItselfIsNoPlaceForAMount) {
  EXPECT_EQ(place_of(make_in_root(root_.get(), "/")), "root");
}

TEST(MountOptions, SplitsFlagsFromData) {
  EXPECT_EQ(parse_mount_options("size=64m,mode=1777,noexec,nosuid,ro"),
            (MountOptions{MS_NOEXEC | MS_NOSUID | MS_RDONLY, "size=64m,mode=1777"}));
  EXPECT_EQ(parse_mount_options("ro,rw,noexec,exec"), (MountOptions{0, ""}));
  EXPECT_EQ(parse_mount_options(""), (MountOptions{0, ""}));
}

}  // namespace
}  // namespace berth::tether::os
