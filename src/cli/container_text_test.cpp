#include "cli/container_text.hpp"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using namespace std::chrono_literals;

constexpr Nanoseconds kNow = 1'800'000'000s;

record::Host host_in(record::Status status) {
  record::Host host;
  host.status = status;
  host.started = Nanoseconds(kNow - 3min).count();
  host.finished = Nanoseconds(kNow - 2h).count();
  host.exit_code = 137;
  return host;
}

TEST(ContainerText, StatusReadsAsDockers) {
  EXPECT_EQ(status_text(host_in(record::Status::running), kNow), "Up 3 minutes");
  EXPECT_EQ(status_text(host_in(record::Status::stopping), kNow), "Up 3 minutes");
  EXPECT_EQ(status_text(host_in(record::Status::paused), kNow), "Up 3 minutes (Paused)");
  EXPECT_EQ(status_text(host_in(record::Status::restarting), kNow), "Restarting (137) 2 hours ago");
  EXPECT_EQ(status_text(host_in(record::Status::exited), kNow), "Exited (137) 2 hours ago");
  EXPECT_EQ(status_text(host_in(record::Status::starting), kNow), "Created");
  EXPECT_EQ(status_text(host_in(record::Status::removing), kNow), "Removal In Progress");
}

TEST(ContainerText, AClockThatWentBackIsNoNegativeAge) {
  EXPECT_EQ(age_text(Nanoseconds(kNow + 5min).count(), kNow), age_text(kNow.count(), kNow));
}

TEST(ContainerText, CommandsAreQuotedAndCut) {
  EXPECT_EQ(command_text({"sh", "-c", "true"}, false), "\"sh -c true\"");
  EXPECT_EQ(command_text({"docker-entrypoint.sh", "x"}, false), "\"docker-entrypoint.s…\"");
  EXPECT_EQ(command_text({"docker-entrypoint.sh", "x"}, true), "\"docker-entrypoint.sh x\"");
  EXPECT_EQ(command_text({std::string(20, 'a')}, false), "\"" + std::string(20, 'a') + "\"");
  EXPECT_EQ(command_text({"a\nb\x1b[2J"}, true), "\"a b?[2J\"");
}

TEST(ContainerText, ImageIdsAreShortened) {
  EXPECT_EQ(image_id_text("sha256:0123456789abcdef", false), "0123456789ab");
  EXPECT_EQ(image_id_text("sha256:0123456789abcdef", true), "sha256:0123456789abcdef");
}

}  // namespace
}  // namespace berth::cli
