#include "base/text.hpp"

#include <errno.h>
#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/signals.hpp"

namespace berth {
namespace {

TEST(Text, SizesInDockersUnits) {
  EXPECT_EQ(parse_size("64", "memory"), 64u);
  EXPECT_EQ(parse_size("512k", "memory"), 512u << 10);
  EXPECT_EQ(parse_size("1.5G", "memory"), 3u << 29);
  EXPECT_EQ(parse_size("256MiB", "memory"), 256u << 20);
  for (const char* bad : {"", "x", "-1", "1q", "1gg", "1e400", "nan"}) {
    EXPECT_THROW(parse_size(bad, "memory"), Error) << bad;
  }
  EXPECT_EQ(format_binary_size(1536), "1.5KiB");
  EXPECT_EQ(format_decimal_size(1'033'000), "1.033MB");
}

TEST(Text, ForeignTextCannotDriveATerminal) {
  EXPECT_EQ(printable("a\x1b[31mb\nc"), "a?[31mb c");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

TEST(Text, SplitAndTrim) {
  EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_EQ(split("", ','), std::vector<std::string>{""});
  EXPECT_EQ(trim(" \t a b \n"), "a b");
  EXPECT_EQ(trim("  "), "");
}

TEST(Signals, ByAnyNameOrNumber) {
  EXPECT_EQ(signal_number("TERM"), 15);
  EXPECT_EQ(signal_number("sigquit"), 3);
  EXPECT_EQ(signal_number("SIGWINCH"), 28);
  EXPECT_EQ(signal_number("RTMIN+3"), 37);
  EXPECT_EQ(signal_number("SIGRTMAX-1"), 63);
  EXPECT_EQ(signal_number("37"), 37);
  for (const char* bad : {"", "NOPE", "0", "65", "-1", "RTMIN+31", "RTMIN+", "9x"}) {
    EXPECT_FALSE(signal_number(bad)) << bad;
  }
  EXPECT_EQ(signal_name(9), "SIGKILL");
  EXPECT_EQ(signal_name(37), "SIGRTMIN+3");
}

TEST(Time, IsWrittenAndReadAsRfc3339) {
  const Nanoseconds time(1'767'366'245'123'456'789);
  EXPECT_EQ(format_time(time), "2026-01-02T15:04:05.123456789Z");
  EXPECT_EQ(parse_time("2026-01-02T15:04:05.123456789Z", {}), time);
  EXPECT_EQ(parse_time("2026-01-02T17:04:05.123456789+02:00", {}), time);
  EXPECT_EQ(parse_time("1767366245", {}), Nanoseconds(1'767'366'245'000'000'000));
  EXPECT_EQ(parse_time("1h30m", time), time - std::chrono::minutes(90));
  EXPECT_EQ(parse_time("2026-01-02", {}), Nanoseconds(1'767'312'000'000'000'000));
  for (const char* bad : {"", "yesterday", "2026-13-45", "1x"}) {
    EXPECT_THROW(parse_time(bad, {}), Error) << bad;
  }
}

TEST(Time, AgesReadAsDockerWritesThem) {
  EXPECT_EQ(describe_duration(std::chrono::milliseconds(10)), "Less than a second");
  EXPECT_EQ(describe_duration(std::chrono::seconds(1)), "1 second");
  EXPECT_EQ(describe_duration(std::chrono::seconds(45)), "45 seconds");
  EXPECT_EQ(describe_duration(std::chrono::minutes(1)), "About a minute");
  EXPECT_EQ(describe_duration(std::chrono::hours(3)), "3 hours");
  EXPECT_EQ(describe_duration(std::chrono::hours(24 * 20)), "2 weeks");
}

TEST(Ids, AreWhatTheySay) {
  EXPECT_EQ(new_id().size(), 64u);
  EXPECT_NE(new_id(), new_id());
  EXPECT_TRUE(is_valid_name(random_name()));
  EXPECT_TRUE(is_valid_name("web-1.a_b"));
  for (const char* bad : {"", "a", "-web", "we b", "web/1", "wéb"}) EXPECT_FALSE(is_valid_name(bad)) << bad;
}

TEST(Errors, CarryCodeMessageAndContext) {
  Error error(Code::not_found, "no {}", "manifest");
  error.add_context("fetch");
  error.add_context("pull busybox");
  EXPECT_STREQ(error.what(), "pull busybox: fetch: no manifest");
  EXPECT_EQ(error.message(), "no manifest");
  EXPECT_EQ(code_from_string(to_string(Code::capacity)), Code::capacity);
  EXPECT_EQ(errno_error("open x", ENOSPC).code(), Code::capacity);
}

}  // namespace
}  // namespace berth
