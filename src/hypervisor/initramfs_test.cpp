#include "hypervisor/initramfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class InitramfsTest : public ::testing::Test {
 protected:
  InitramfsTest() {
    make_directories(spec_.kernel.modules / "kernel");
    write("modules.dep",
          "kernel/bus-pci.ko: kernel/bus_lib.ko kernel/ring.ko\n"
          "kernel/bus_lib.ko: kernel/ring.ko\n"
          "kernel/ring.ko:\n"
          "kernel/disk.ko: kernel/ring.ko\n");
    write("modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    for (const char* name : {"bus-pci", "bus_lib", "ring", "disk"}) {
      write(std::string("kernel/") + name + ".ko", std::string("the module ") + name);
    }
    write_file_atomically(spec_.init, "the program");
    spec_.modules = {"bus_pci", "ext4", "disk"};
    spec_.device_modules = {};
  }
  void write(const std::string& name, const std::string& content) {
    write_file_atomically(spec_.kernel.modules / name, content);
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "initramfs"};
  InitramfsSpec spec_{
      {folder_.path() / "vmlinuz", "6.1.0-test", folder_.path() / "modules"}, folder_.path() / "tether", {}};
  std::filesystem::path cache_ = folder_.path() / "cache";
};

TEST_F(InitramfsTest, ResolvesModulesInLoadOrder) {
  EXPECT_THAT(resolve_modules(spec_.kernel, spec_.modules),
              ElementsAre("kernel/ring.ko", "kernel/bus_lib.ko", "kernel/bus-pci.ko", "kernel/disk.ko"));
  EXPECT_THAT(resolve_modules(spec_.kernel, {"ext4"}), IsEmpty());
  EXPECT_EQ(code_thrown([&] { resolve_modules(spec_.kernel, {"absent"}); }), Code::not_found);
}

TEST_F(InitramfsTest, ResolvesOurModulesInTheInstalledKernel) {
  std::vector<std::string> names;
  for (const auto& path : resolve_modules(find_kernel(), {kBootModules.begin(), kBootModules.end()})) {
    names.push_back(path.filename().string());
  }
  const auto position = [&](const std::string& name) { return std::find(names.begin(), names.end(), name); };
  EXPECT_LT(position("virtio_ring.ko"), position("virtio.ko"));
  EXPECT_LT(position("virtio.ko"), position("virtio_pci.ko"));
  EXPECT_NE(position("pvpanic-pci.ko"), names.end());
}

TEST_F(InitramfsTest, IsAnArchiveThatCpioReads) {
  ProcessSpec list;
  list.program = "cpio";
  list.arguments = {"--quiet", "-itv"};
  const RunResult result = run_checked(list, std::chrono::seconds(10), make_initramfs(spec_));
  EXPECT_THAT(result.output, AllOf(HasSubstr("-rwxr-xr-x"), HasSubstr(" init\n"), HasSubstr("5,   1"),
                                   HasSubstr("dev/console\n"), HasSubstr("modules/00-ring.ko\n"),
                                   HasSubstr("modules/03-disk.ko\n"), HasSubstr("modules/order\n")));
  list.arguments = {"--quiet", "-i", "--to-stdout", "modules/order", "init"};
  EXPECT_EQ(run_checked(list, std::chrono::seconds(10), make_initramfs(spec_)).output,
            "the program00-ring.ko\n01-bus_lib.ko\n02-bus-pci.ko\n03-disk.ko\n");
}

TEST_F(InitramfsTest, HasTheFirewallsModulesInAListOfTheirOwn) {
  spec_.modules = {"bus_pci"};
  spec_.firewall_modules = {"disk"};
  ProcessSpec list;
  list.program = "cpio";
  list.arguments = {"--quiet", "-i", "--to-stdout", "modules/firewall"};
  EXPECT_EQ(run_checked(list, std::chrono::seconds(10), make_initramfs(spec_)).output, "03-disk.ko\n");
  spec_.firewall_modules = {"disk", "absent"};
  EXPECT_EQ(run_checked(list, std::chrono::seconds(10), make_initramfs(spec_)).output, "");
}

TEST_F(InitramfsTest, HasTheModulesForFoldersOnlyWhereTheyAreAskedFor) {
  ProcessSpec list;
  list.program = "cpio";
  list.arguments = {"--quiet", "-i", "--to-stdout", "modules/folders"};
  spec_.modules = {"bus_pci"};
  const std::filesystem::path without = cached_initramfs(spec_, cache_);
  EXPECT_EQ(run_checked(list, std::chrono::seconds(10), make_initramfs(spec_)).output, "");
  spec_.folder_modules = {"disk"};
  EXPECT_EQ(run_checked(list, std::chrono::seconds(10), make_initramfs(spec_)).output, "03-disk.ko\n");
  EXPECT_NE(cached_initramfs(spec_, cache_), without);
}

TEST_F(InitramfsTest, TheInstalledKernelHasTheModulesForFolders) {
  const auto modules = resolve_modules(find_kernel(), {kFolderModules.begin(), kFolderModules.end()});
  ASSERT_FALSE(modules.empty());
  EXPECT_EQ(modules.back().filename(), "virtiofs.ko");
}

TEST_F(InitramfsTest, IsTheSameEveryTime) {
  EXPECT_EQ(make_initramfs(spec_), make_initramfs(spec_));
}

TEST_F(InitramfsTest, NamesWhatIsMissing) {
  spec_.init = folder_.path() / "absent";
  EXPECT_EQ(code_thrown([&] { make_initramfs(spec_); }), Code::not_found);
}

TEST_F(InitramfsTest, IsMadeOncePerContent) {
  const auto path = cached_initramfs(spec_, cache_);
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat(path.c_str(), &before), 0);
  EXPECT_EQ(before.st_mode & 07777, 0444u);
  EXPECT_EQ(cached_initramfs(spec_, cache_), path);
  ASSERT_EQ(::stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);

  write_file_atomically(spec_.init, "another program");
  const auto other = cached_initramfs(spec_, cache_);
  EXPECT_NE(other, path);
  EXPECT_EQ(read_file(other), make_initramfs(spec_));
}

TEST_F(InitramfsTest, ManyAtOnceGetTheSameFile) {
  std::vector<std::filesystem::path> paths(8);
  {
    std::vector<std::jthread> threads;
    for (auto& path : paths) threads.emplace_back([&] { path = cached_initramfs(spec_, cache_); });
  }
  for (const auto& path : paths) EXPECT_EQ(path, paths[0]);
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(cache_)) ++files;
  EXPECT_EQ(files, 2u);  // the archive and the lock
}

}  // namespace
}  // namespace berth::hypervisor
