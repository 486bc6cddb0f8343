#include "hypervisor/qemu/statistics.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>

#include "base/io.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor::qemu {
namespace {

TEST(ProcessStat, ReadsPastAnyName) {
  const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  const std::string text = fmt::format(
      "12 (a) R (b) S 1 1 1 0 -1 4194560 1 2 3 4 {} {} 7 8 20 0 3 0 900 123456 25 0\n", 2 * ticks, ticks);
  const MachineStatistics statistics = parse_process_stat(text);
  EXPECT_EQ(statistics.cpu_time, std::chrono::seconds(3));
  EXPECT_EQ(statistics.resident_bytes, 25 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

TEST(ProcessStat, ReadsTheKernelsOwn) {
  EXPECT_GT(parse_process_stat(read_file("/proc/self/stat")).resident_bytes, 0u);
}

TEST(ProcessStat, RefusesOtherText) {
  for (const char* text : {"", "1 (x", "1 (x) R 1 2"}) {
    EXPECT_EQ(code_thrown([&] { parse_process_stat(text); }), Code::corrupt) << text;
  }
}

TEST(ProcessMemory, IsWhatIsPrivateAndTheShareOfTheRest) {
  MachineStatistics statistics;
  add_process_memory(
      "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:     10240 kB\nPss:      2048 kB\nPss_Dirty:  9 kB\n"
      "Private_Clean:   100 kB\nPrivate_Dirty:  2048 kB\nAnonymous:      1024 kB\n",
      statistics);
  EXPECT_EQ(statistics.private_bytes, 1u << 20);
  EXPECT_EQ(statistics.proportional_bytes, 2u << 20);
  EXPECT_EQ(code_thrown([&] { add_process_memory("Pss: 1 kB\n", statistics); }), Code::corrupt);
  add_process_memory(read_file("/proc/self/smaps_rollup"), statistics);
  EXPECT_GT(statistics.private_bytes, 0u);
}

TEST(DiskStatistics, AreFoundByDevice) {
  const auto answer = boost::json::parse(R"([
    {"device": "", "qdev": "/machine/peripheral/disk10/virtio-backend", "stats": {}},
    {"device": "", "qdev": "/machine/peripheral/disk0/virtio-backend", "node-name": "disk0-file",
     "stats": {"rd_bytes": 1, "wr_bytes": 2, "rd_operations": 3, "wr_operations": 4, "flush_operations": 5}}])");
  const auto disks = parse_disk_statistics(answer, {{"image", "disk0"}});
  ASSERT_EQ(disks.size(), 1u);
  EXPECT_EQ(disks[0].serial, "image");
  EXPECT_EQ(disks[0].bytes_read, 1u);
  EXPECT_EQ(disks[0].bytes_written, 2u);
  EXPECT_EQ(disks[0].reads, 3u);
  EXPECT_EQ(disks[0].writes, 4u);
  EXPECT_EQ(disks[0].flushes, 5u);
  EXPECT_EQ(code_thrown([&] {
              parse_disk_statistics(answer, {{"image", "disk0"}, {"scratch", "disk1"}});
            }),
            Code::corrupt);
  EXPECT_EQ(code_thrown([&] { parse_disk_statistics(boost::json::value(1), {}); }), Code::corrupt);
}

}  // namespace
}  // namespace berth::hypervisor::qemu
