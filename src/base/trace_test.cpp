#include "base/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <regex>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

namespace berth::trace {
namespace {

struct Written {
  std::string name;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Of a line that is one JSON object. Throws for anything else.
Written parse_span(const std::string& line, pid_t pid) {
  static const std::regex kLine(
      R"re(\{"process":"[^"\\]+","pid":(\d+),"name":"([^"\\]+)","begin_us":(\d+),"end_us":(\d+)\})re");
  std::smatch parts;
  if (!std::regex_match(line, parts, kLine)) throw Error(Code::corrupt, "no span: {}", line);
  EXPECT_EQ(parts[1], std::to_string(pid));
  return {parts[2], std::stoll(parts[3]), std::stoll(parts[4])};
}

/// The spans that `body` writes in a process of its own: where they go is settled once in each.
std::vector<Written> spans_of(const std::filesystem::path& file, const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      write_to(file);
      body();
      ::_exit(0);
    } catch (const std::exception&) {
      ::_exit(1);
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  std::vector<Written> spans;
  for (const std::string& line : split(trim(read_file(file)), '\n')) spans.push_back(parse_span(line, child));
  return spans;
}

class TraceTest : public testing::Test {
 protected:
  TempDir folder_{"/tmp", "berth-trace-test-"};
  std::filesystem::path file_ = folder_.path() / "trace";
};

TEST_F(TraceTest, ASpanIsALineFromItsBeginToItsEnd) {
  const auto spans = spans_of(file_, [] {
    Span outer("outer");
    { const Span inner("inner"); }
    outer.done();
    outer.done();
  });
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].name, "inner");
  EXPECT_EQ(spans[1].name, "outer");
  EXPECT_LE(spans[1].begin, spans[0].begin);
  EXPECT_LE(spans[0].begin, spans[0].end);
  EXPECT_LE(spans[0].end, spans[1].end);
}

TEST_F(TraceTest, TellsTheTimeSinceTheStartOfTheProcess) {
  const auto spans = spans_of(file_, [] { since_start("start"); });
  ASSERT_EQ(spans.size(), 1u);
  // The kernel tells the start in hundredths of a second.
  EXPECT_GE(spans[0].end - spans[0].begin, 0);
}

TEST_F(TraceTest, IsOfThisProcessAndWhatItStarts) {
  const auto spans = spans_of(file_, [&] {
    if (::getenv(kVariable) != file_) throw std::runtime_error("not in the environment");
    Span("here");
  });
  EXPECT_EQ(spans.size(), 1u);
}

TEST_F(TraceTest, NothingIsWrittenUnlessAFileIsNamed) {
  EXPECT_FALSE(is_on());
  const Span span("nowhere");
  since_start("nowhere");
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(TraceTest, AFileThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(write_to((folder_.path() / "missing" / "trace").string()), Error);
  EXPECT_FALSE(is_on());
}

}  // namespace
}  // namespace berth::trace
