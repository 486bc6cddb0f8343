#include "hypervisor/qemu/host.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/io.hpp"

namespace berth::hypervisor::qemu {
namespace {

TEST(HostFacts, MeasureAPlausibleCounter) {
  if (read_file("/proc/cpuinfo").find("constant_tsc") == std::string::npos)
    GTEST_SKIP() << "no constant counter";
  EXPECT_GT(host_facts().tsc_khz, 500'000u);
  EXPECT_LT(host_facts().tsc_khz, 10'000'000u);
  EXPECT_EQ(host_facts().tsc_khz, host_facts().tsc_khz);
}

}  // namespace
}  // namespace berth::hypervisor::qemu
