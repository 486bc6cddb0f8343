#include "image/rootfs.hpp"

#include <gmock/gmock.h>
#include <linux/xattr.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <thread>

#include "base/process.hpp"
#include "image/test_images.hpp"
#include "image/user_namespace.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Rootfs : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("skopeo") || !find_program("mkfs.erofs"))
      GTEST_SKIP() << "skopeo or mkfs.erofs is missing";
    if (::geteuid() != 0 && !find_program("newuidmap")) GTEST_SKIP() << "uidmap is missing";
  }

  Image pull(const std::vector<std::string>& layers, const std::string& wrong_diff_id = "") {
    TestImage image;
    image.layers = layers;
    image.wrong_diff_id = wrong_diff_id;
    layout_.add(image, "x" + std::to_string(++images_));
    return store_.pull(layout_.source("x" + std::to_string(images_)));
  }

  static std::size_t count(const fs::path& directory) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }
  void expect_nothing_left() const {
    EXPECT_EQ(count(store_.root() / "tmp"), 0u);
    EXPECT_EQ(count(store_.root() / "rootfs"), 0u);
  }

  /// The content, read by another tool than the one that made it.
  fs::path extract(const fs::path& erofs) {
    fs::path target = folder_.path() / "extracted";
    ProcessSpec spec;
    spec.program = "fsck.erofs";
    spec.arguments = {"--extract=" + target.string(), erofs.string()};
    run_checked(spec, std::chrono::seconds(60));
    return target;
  }

  TempDir folder_{testing::TempDir(), "rootfs-"};
  TestLayout layout_{folder_.path() / "app"};
  Store store_{folder_.path() / "store"};
  int images_ = 0;
};

TEST_F(Rootfs, IsBuiltOnceAndReadOnly) {
  TestEntry owned = file("home/x", "hello", 0640);
  owned.uid = 1000;
  owned.gid = 1001;
  const Image image =
      pull({make_tar({folder("home"), owned, file("old", "1"), symlink("l", "/home/x")}),
            make_tar({file(".wh.old", ""), folder("new", 01777), hard_link("home/y", "home/x")})});
  const fs::path path = rootfs(store_, image);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 0444u);
  EXPECT_EQ(rootfs(store_, image), path);
  struct stat again {};
  ASSERT_EQ(::stat(path.c_str(), &again), 0);
  EXPECT_EQ(again.st_ino, status.st_ino);
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);

  if (::geteuid() != 0) return;
  const fs::path tree = extract(path);
  EXPECT_EQ(read_file(tree / "home/x"), "hello");
  EXPECT_FALSE(fs::exists(tree / "old"));
  ASSERT_EQ(::stat((tree / "home/x").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1000u);
  EXPECT_EQ(status.st_gid, 1001u);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(read_file(tree / "home/y"), "hello");
  EXPECT_EQ(fs::read_symlink(tree / "l"), "/home/x");
  ASSERT_EQ(::stat((tree / "new").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 01777u);
}

TEST_F(Rootfs, GoesWithItsLastImage) {
  const Image image = pull({make_tar({file("a", "1")})});
  const fs::path path = rootfs(store_, image);
  pull({make_tar({file("a", "1")})});
  store_.remove("app:x1");
  EXPECT_TRUE(fs::exists(path)) << "the other image has the same layers";
  store_.remove("app:x2");
  expect_nothing_left();
}

TEST_F(Rootfs, ManyAskAtOnce) {
  const Image image = pull({make_tar({file("a", std::string(1 << 20, 'x'))})});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(
        [&] { EXPECT_EQ(rootfs(Store(store_.root()), image), store_.rootfs_path(image.config.diff_ids)); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);
}

TEST_F(Rootfs, AHostileLayerLeavesNothing) {
  const std::vector<std::pair<TestEntry, Code>> hostile{{file("../x", ""), Code::corrupt},
                                                        {hard_link("a", "../../etc/passwd"), Code::corrupt},
                                                        {device("sda", AE_IFBLK, 8, 0), Code::unsupported}};
  for (const auto& [entry, code] : hostile) {
    const Image image = pull({make_tar({entry})});
    const Error error = error_of([&] { rootfs(store_, image); });
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("entry \"" + entry.path + "\""));
    expect_nothing_left();
  }
}

TEST_F(Rootfs, AWrongDiffIdIsFound) {
  const Image image = pull({make_tar({file("a", "1")})}, digest_of("another"));
  EXPECT_EQ(error_of([&] { rootfs(store_, image); }).code(), Code::corrupt);
  expect_nothing_left();
}

TEST_F(Rootfs, AnImageRemovedMeanwhileGetsNone) {
  const Image image = pull({make_tar({file("a", "1")})});
  store_.remove("app:x1");
  EXPECT_EQ(error_of([&] { rootfs(store_, image); }).code(), Code::not_found);
  expect_nothing_left();
}

TEST_F(Rootfs, WhatAKilledBuildLeftIsRemovedByTheNext) {
  make_directories(store_.root() / "tmp/build-killed/tree");
  write_file_atomically(store_.root() / "tmp/build-killed/tree/x", "x");
  rootfs(store_, pull({make_tar({file("a", "1")})}));
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);
}

TEST_F(Rootfs, KeepsItsDeadline) {
  const Image image = pull({make_tar({file("a", "1")})});
  RootfsOptions options;
  options.limit = std::chrono::milliseconds(0);
  const Code code = error_of([&] { rootfs(store_, image, options); }).code();
  EXPECT_EQ(code, Code::timeout);
  expect_nothing_left();
}

TEST_F(Rootfs, AFullDiskLeavesNothing) {
  const fs::path small = folder_.path() / "small";
  make_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=6m") != 0)
    GTEST_SKIP() << "cannot mount a small tmpfs";
  {
    Store store(small / "store");
    TestImage image;
    for (const int megabytes : {4, 16}) {
      image.layers = {make_tar({file("a", std::string(static_cast<std::size_t>(megabytes) << 20, 'x'))})};
      layout_.add(image, std::to_string(megabytes));
      const Image pulled = store.pull(layout_.source(std::to_string(megabytes)));
      const Error error = error_of([&] { rootfs(store, pulled); });
      EXPECT_EQ(error.code(), Code::capacity) << error.what();
      EXPECT_EQ(count(store.root() / "tmp"), 0u);
      EXPECT_EQ(count(store.root() / "rootfs"), 0u);
    }
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(Rootfs, AttributesReachTheFileSystem) {
  TestEntry tool = file("ping", "x", 06755);
  const std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  tool.attributes = {{XATTR_NAME_CAPS, capability}, {"user.note", "hello"}};
  const fs::path path = rootfs(store_, pull({make_tar({tool})}));
  const fs::path point = folder_.path() / "mounted";
  make_directories(point);
  ProcessSpec spec;
  spec.program = "mount";
  spec.arguments = {"-t", "erofs", "-o", "loop,ro", path.string(), point.string()};
  if (::geteuid() != 0 || !run(spec, std::chrono::seconds(30)).status.success())
    GTEST_SKIP() << "cannot mount EROFS";
  char value[64];
  EXPECT_EQ(::getxattr((point / "ping").c_str(), XATTR_NAME_CAPS, value, sizeof value), 20);
  EXPECT_EQ(::getxattr((point / "ping").c_str(), "user.note", value, sizeof value), 5);
  struct stat status {};
  EXPECT_EQ(::stat((point / "ping").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 06755u);
  EXPECT_EQ(status.st_mtim.tv_sec, 1'600'000'000);
  EXPECT_EQ(::umount2(point.c_str(), MNT_DETACH), 0);
}

TEST(SubordinateIds, AreReadByNameAndNumber) {
  const auto ranges = parse_subordinate_ids(
      "# c\nme:100000:65536\nother:1:2\n1000:300000:10\nme:x:1\nme:5:0\nme:1\n", "me", 1000);
  ASSERT_EQ(ranges.size(), 2u);
  EXPECT_EQ(ranges[0].start, 100000u);
  EXPECT_EQ(ranges[0].count, 65536u);
  EXPECT_EQ(ranges[1].start, 300000u);
  EXPECT_TRUE(parse_subordinate_ids("", "me", 1).empty());
}

}  // namespace
}  // namespace berth::image
