#include "launcher/pod_disk.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "disk/store.hpp"

namespace berth::launcher {
namespace {

struct PodDiskTest : ::testing::Test {
  PodDiskTest() {
    paths.data = folder.path();
    pod.executor.common.id = std::string(64, 'a');
    pod.executor.common.name = "web";
    make_directories(paths.pod(pod.id()));
  }
  static int access_of(int fd) { return check(::fcntl(fd, F_GETFL), "fcntl") & O_ACCMODE; }

  TempDir folder{std::filesystem::temp_directory_path(), "pod-disk-"};
  Paths paths;
  record::Pod pod;
};

TEST_F(PodDiskTest, AFileFromBeforeThereWereLayersIsTakenOver) {
  expect_error(Code::not_found, "", [&] { open_disk(paths, pod); });
  write_file_atomically(paths.pod(pod.id()) / "scratch.img", std::string(512, 'x'));
  for (int start = 0; start < 2; ++start) {
    const PodDisk opened = open_disk(paths, pod);
    EXPECT_EQ(opened.disk.format, hypervisor::DiskFormat::raw);
    EXPECT_EQ(opened.disk.serial, "scratch");
    EXPECT_TRUE(opened.disk.backing.empty());
    EXPECT_EQ(access_of(opened.disk.fd), O_RDWR);
  }
}

TEST_F(PodDiskTest, OnlyTheTopLayerCanBeWritten) {
  write_file_atomically(paths.pod(pod.id()) / "scratch.img", std::string(512, 'x'));
  open_disk(paths, pod);
  disk::Store store(paths.database(), paths.disks());
  const std::string user = disk::pod_user(pod.id());
  store.begin_overlay(user);
  const disk::Layer shared = store.commit_overlay(user);
  const PodDisk opened = open_disk(paths, pod);
  EXPECT_EQ(opened.disk.format, hypervisor::DiskFormat::qcow2);
  ASSERT_EQ(opened.disk.backing.size(), 1u);
  EXPECT_EQ(access_of(opened.disk.fd), O_RDWR);
  EXPECT_EQ(access_of(opened.disk.backing.front().fd), O_RDONLY);

  // Who only holds what others have, too, does not write to it.
  record::Pod copy = pod;
  copy.executor.common.id = std::string(64, 'b');
  store.hold(shared.id, {disk::pod_user(copy.id())});
  expect_error(Code::wrong_state, "no disk of its own", [&] { open_disk(paths, copy); });
}

TEST_F(PodDiskTest, AForkThatWasCutOffIsPutRight) {
  write_file_atomically(paths.pod(pod.id()) / "scratch.img", std::string(512, 'x'));
  open_disk(paths, pod);
  disk::Store store(paths.database(), paths.disks());
  const disk::Layer overlay = store.begin_overlay(disk::pod_user(pod.id()));
  EXPECT_TRUE(open_disk(paths, pod).disk.backing.empty());
  EXPECT_FALSE(std::filesystem::exists(overlay.file));
}

}  // namespace
}  // namespace berth::launcher
