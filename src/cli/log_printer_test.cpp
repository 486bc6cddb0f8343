#include "cli/log_printer.hpp"

#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using launcher::LogEntry;
using launcher::LogStream;

LogEntry entry(LogStream stream, std::int64_t nanoseconds, std::string bytes) {
  return {.stream = stream, .time = Nanoseconds(nanoseconds), .bytes = std::move(bytes)};
}

TEST(LogPrinter, BytesStayAsTheyAreWithoutTimes) {
  LogPrinter printer(false);
  EXPECT_EQ(printer.format(entry(LogStream::standard_output, 0, std::string("a\0\r\n", 4))),
            std::string("a\0\r\n", 4));
}

TEST(LogPrinter, EveryLineHasItsTime) {
  LogPrinter printer(true);
  EXPECT_EQ(printer.format(entry(LogStream::standard_output, 1, "a\n\nb\n")),
            "1970-01-01T00:00:00.000000001Z a\n1970-01-01T00:00:00.000000001Z "
            "\n1970-01-01T00:00:00.000000001Z b\n");
}

TEST(LogPrinter, ALineInPiecesHasTheTimeOfItsFirst) {
  LogPrinter printer(true);
  EXPECT_EQ(printer.format(entry(LogStream::standard_output, 1, "pro")),
            "1970-01-01T00:00:00.000000001Z pro");
  EXPECT_EQ(printer.format(entry(LogStream::standard_error, 2, "e\n")), "1970-01-01T00:00:00.000000002Z e\n");
  EXPECT_EQ(printer.format(entry(LogStream::standard_output, 3, "mpt\nnext")),
            "mpt\n1970-01-01T00:00:00.000000003Z next");
  EXPECT_EQ(printer.format(entry(LogStream::standard_output, 4, "")), "");
}

}  // namespace
}  // namespace berth::cli
