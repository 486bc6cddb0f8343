#include "cli/health.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace berth::cli {
namespace {

using testing::HasSubstr;

const HealthCheck& find(const std::vector<HealthCheck>& checks, std::string_view name) {
  const auto found =
      std::find_if(checks.begin(), checks.end(), [&](const HealthCheck& c) { return c.name == name; });
  EXPECT_NE(found, checks.end()) << name;
  return *found;
}

TEST(Health, LittleSpaceIsANotice) {
  EXPECT_EQ(check_space("/data", 50u << 20).result, HealthCheck::Result::notice);
  EXPECT_EQ(check_space("/data", std::uint64_t{50} << 30).result, HealthCheck::Result::good);
}

TEST(Health, MissingProgramsAreNamedAndKvmIsNotTried) {
  engine::Paths paths;
  paths.data = std::filesystem::temp_directory_path() / "berth-none" / "data";
  paths.runtime = paths.data;
  paths.programs = "/nonexistent";
  const std::vector<HealthCheck> checks = check_health(paths);
  EXPECT_EQ(find(checks, "tether").result, HealthCheck::Result::missing);
  EXPECT_THAT(find(checks, "tether").detail, HasSubstr("/nonexistent/berth-tether"));
  EXPECT_EQ(find(checks, "data").result, HealthCheck::Result::good);
  EXPECT_THAT(find(checks, "KVM").detail, HasSubstr("not tried"));
  EXPECT_FALSE(std::filesystem::exists(paths.data));
}

}  // namespace
}  // namespace berth::cli
