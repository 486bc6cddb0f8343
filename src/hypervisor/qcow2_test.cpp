#include "hypervisor/qcow2.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

constexpr std::uint64_t kBytes = std::uint64_t{10} << 30;

UniqueFd empty_file() {
  return UniqueFd(check(::memfd_create("overlay", MFD_CLOEXEC), "memfd_create"));
}

std::string header_of(int fd) {
  std::string header(kOverlayHeaderBytes, '\0');
  check(::pread(fd, header.data(), header.size(), 0), "pread");
  return header;
}

TEST(Qcow2, OneSizeHasAlwaysTheSameBytes) {
  const UniqueFd overlay = empty_file();
  make_overlay(overlay.get(), kBytes);
  EXPECT_TRUE(is_untouched_overlay(overlay.get(), kBytes));
  EXPECT_FALSE(is_untouched_overlay(overlay.get(), kBytes / 2));
  EXPECT_EQ(check_overlay(overlay.get()), kBytes);
  // Into the mapping: something is written.
  check(::pwrite(overlay.get(), "\1", 1, (3 << 16) + 8), "pwrite");
  EXPECT_FALSE(is_untouched_overlay(overlay.get(), kBytes));
}

TEST(Qcow2, WhatIsNoDisksSizeIsRefused) {
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{513}, std::uint64_t{1} << 62}) {
    const UniqueFd overlay = empty_file();
    EXPECT_EQ(code_thrown([&] { make_overlay(overlay.get(), bytes); }), Code::invalid_argument);
  }
}

TEST(Qcow2, AHeaderThatNamesFilesOrIsForeignIsRefused) {
  const UniqueFd overlay = empty_file();
  make_overlay(overlay.get(), kBytes);
  const std::string good = header_of(overlay.get());
  EXPECT_EQ(check_overlay_header(good), kBytes);
  EXPECT_EQ(code_thrown([&] { check_overlay_header(good.substr(0, 103)); }), Code::corrupt);
  // Magic, version, backing file, cluster size, size, encryption, snapshots, a data file, the mark of
  // corruption.
  for (const std::size_t at : {0, 7, 15, 23, 24, 35, 63, 79}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x06);
    EXPECT_EQ(code_thrown([&] { check_overlay_header(bad); }), Code::corrupt) << at;
  }
}

TEST(Qcow2, QemusOwnCheckFindsNothing) {
  if (!find_program("qemu-img")) GTEST_SKIP() << "qemu-img is not installed";
  const TempDir folder(std::filesystem::temp_directory_path(), "qcow2-");
  for (const std::uint64_t bytes : {std::uint64_t{512}, kBytes, std::uint64_t{8} << 40}) {
    const std::filesystem::path file = folder.path() / std::to_string(bytes);
    make_overlay(open_file(file, O_RDWR | O_CREAT).get(), bytes);
    ProcessSpec check;
    check.program = "qemu-img";
    check.arguments = {"check", "-f", "qcow2", file.string()};
    run_checked(check, std::chrono::milliseconds(30'000));
  }
}

}  // namespace
}  // namespace berth::hypervisor
