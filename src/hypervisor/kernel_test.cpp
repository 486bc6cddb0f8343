#include "hypervisor/kernel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

using ::testing::HasSubstr;

class KernelTest : public ::testing::Test {
 protected:
  KernelTest() {
    make_directories(folders_.boot);
    make_directories(folders_.modules);
  }
  void add_image(const std::string& release) {
    write_file_atomically(folders_.boot / ("vmlinuz-" + release), "x");
  }
  void add_modules(const std::string& release) {
    make_directories(folders_.modules / release);
    write_file_atomically(folders_.modules / release / "modules.dep", "");
  }
  void add(const std::string& release) {
    add_image(release);
    add_modules(release);
  }
  /// The least that looks like a bzImage of that version.
  std::filesystem::path add_bzimage(const std::string& version) {
    std::string bytes(0x400, '\0');
    bytes.replace(0x202, 4, "HdrS");
    bytes[0x20e] = 0x00;
    bytes[0x20f] = 0x01;  // 0x200 + 0x100
    bytes.replace(0x300, version.size(), version);
    auto path = folder_.path() / "image";
    write_file_atomically(path, bytes);
    return path;
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "kernel"};
  KernelFolders folders_{folder_.path() / "boot", folder_.path() / "modules"};
};

TEST_F(KernelTest, TakesTheNewestCloudKernel) {
  add("6.1.0-9-cloud-amd64");
  add("6.1.0-28-cloud-amd64");
  add("6.12.1-amd64");
  const GuestKernel kernel = find_kernel({}, folders_);
  EXPECT_EQ(kernel.release, "6.1.0-28-cloud-amd64");
  EXPECT_EQ(kernel.image, folders_.boot / "vmlinuz-6.1.0-28-cloud-amd64");
  EXPECT_EQ(kernel.modules, folders_.modules / "6.1.0-28-cloud-amd64");
}

TEST_F(KernelTest, PassesOverKernelsWithoutModules) {
  add_image("6.1.0-28-cloud-amd64");
  add("5.10.0-8-amd64");
  add("6.1.0-2-amd64");
  EXPECT_EQ(find_kernel({}, folders_).release, "6.1.0-2-amd64");
}

TEST_F(KernelTest, NamesThePackageToInstall) {
  try {
    find_kernel({}, folders_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::not_found);
    EXPECT_THAT(error.what(), HasSubstr("linux-image-cloud-amd64"));
  }
}

TEST_F(KernelTest, TakesAGivenImageByItsHeader) {
  const auto image = add_bzimage("6.6.1-mine (me@here) #1 SMP");
  EXPECT_EQ(kernel_release(image), "6.6.1-mine");
  EXPECT_EQ(code_thrown([&] { find_kernel(image, folders_); }), Code::not_found);
  add_modules("6.6.1-mine");
  EXPECT_EQ(find_kernel(image, folders_).image, image);
}

TEST_F(KernelTest, RefusesWhatIsNoKernel) {
  const auto path = folder_.path() / "other";
  EXPECT_EQ(code_thrown([&] { find_kernel(path, folders_); }), Code::not_found);
  for (const std::string& bytes : {std::string(), std::string("HdrS"), std::string(0x400, '\0')}) {
    write_file_atomically(path, bytes);
    EXPECT_EQ(code_thrown([&] { kernel_release(path); }), Code::corrupt);
  }
  EXPECT_EQ(code_thrown([&] { kernel_release(add_bzimage("../../etc")); }), Code::corrupt);
}

TEST(Kernel, ReadsTheInstalledOne) {
  const GuestKernel kernel = find_kernel();
  EXPECT_EQ(kernel_release(kernel.image), kernel.release);
}

}  // namespace
}  // namespace berth::hypervisor
