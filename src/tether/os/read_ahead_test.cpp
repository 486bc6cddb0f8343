#include "tether/os/read_ahead.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

TEST(ReadAhead, ReadsWhatItMayAndNothingElse) {
  const TempDir folder(fs::temp_directory_path(), "read-ahead-");
  const fs::path place = folder.path();
  fs::create_directories(place / "b" / "deep");
  write_file_atomically(place / "a", std::string(10, 'x'));
  write_file_atomically(place / "b" / "deep" / "file", std::string(3 << 20, 'y'));
  write_file_atomically(place / "c", std::string(7, 'z'));
  fs::create_symlink(place, place / "b" / "loop");
  fs::create_symlink("/etc/passwd", place / "outside");
  ASSERT_EQ(::mkfifo((place / "fifo").c_str(), 0600), 0);
  const std::uint64_t all = 10 + (3 << 20) + 7;
  EXPECT_EQ(read_ahead(place, UINT64_MAX), all);
  EXPECT_EQ(read_ahead(place, all), all);
  EXPECT_EQ(read_ahead(place, 100), 100u);
  EXPECT_EQ(read_ahead(place, 5), 5u);
  EXPECT_EQ(read_ahead(place, 0), 0u);
  EXPECT_EQ(read_ahead(place / "none", 100), 0u);
}

}  // namespace
}  // namespace berth::tether::os
