#include "cli/usage_text.hpp"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using namespace std::chrono_literals;

UsageSample sample() {
  UsageSample sample;
  sample.now.pod.executor.common.id = std::string(64, 'a');
  sample.now.pod.executor.common.name = "web";
  sample.now.guest = {.cpu_nanoseconds = 1'500'000'000,
                      .memory_bytes = 64u << 20,
                      .memory_limit_bytes = 256u << 20,
                      .processes = 3,
                      .received_bytes = 1000,
                      .sent_bytes = 2'000'000,
                      .read_bytes = 0,
                      .written_bytes = 12};
  sample.now.machine_resident_bytes = 90u << 20;
  sample.now.machine_private_bytes = 30u << 20;
  sample.now.machine_proportional_bytes = 40u << 20;
  return sample;
}

TEST(UsageText, ShowsDockersColumnsAndTheMachines) {
  EXPECT_EQ(
      render(list_usage({sample()}, false), ""),
      "CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %     NET I/O     BLOCK I/O   PIDS      "
      "PRIVATE / SHARED\n"
      "aaaaaaaaaaaa   web       0.00%     64MiB / 256MiB      25.00%    1kB / 2MB   0B / 12B    3         "
      "30MiB / 60MiB\n");
}

TEST(UsageText, AHostThatDoesNotTellWhatIsSharedLeavesItOut) {
  UsageSample untold = sample();
  untold.now.machine_private_bytes = untold.now.machine_proportional_bytes = 0;
  EXPECT_TRUE(render(list_usage({untold}, false), "").ends_with("3         -\n"));
}

TEST(UsageText, ProcessorShareIsOfTheTimeBetween) {
  UsageSample between = sample();
  between.before = link::Stats{.cpu_nanoseconds = 500'000'000};
  between.elapsed = 2s;
  EXPECT_DOUBLE_EQ(cpu_percent(between), 50.0);
  between.before->cpu_nanoseconds = 9'000'000'000;  // started again in between
  EXPECT_DOUBLE_EQ(cpu_percent(between), 0.0);
}

TEST(UsageText, AContainerWithoutALimitHasNoShare) {
  UsageSample unlimited = sample();
  unlimited.now.guest.memory_limit_bytes = 0;
  EXPECT_NE(render(list_usage({unlimited}, false), "").find("0.00%"), std::string::npos);
}

}  // namespace
}  // namespace berth::cli
