#include "base/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/parse.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"

namespace berth::trace {
namespace {

/// The spans that `body` writes in a process of its own: where they go is settled once in each.
std::vector<boost::json::object> spans_of(const std::filesystem::path& file,
                                          const std::function<void()>& body) {
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
  std::vector<boost::json::object> spans;
  for (const std::string& line : split(trim(read_file(file)), '\n')) {
    spans.push_back(boost::json::parse(line).as_object());
    EXPECT_EQ(spans.back().at("pid").as_int64(), child);
  }
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
  EXPECT_EQ(spans[0].at("name"), "inner");
  EXPECT_EQ(spans[1].at("name"), "outer");
  EXPECT_LE(spans[1].at("begin_us").as_int64(), spans[0].at("begin_us").as_int64());
  EXPECT_LE(spans[0].at("begin_us").as_int64(), spans[0].at("end_us").as_int64());
  EXPECT_LE(spans[0].at("end_us").as_int64(), spans[1].at("end_us").as_int64());
}

TEST_F(TraceTest, TellsTheTimeSinceTheStartOfTheProcess) {
  const auto spans = spans_of(file_, [] { since_start("start"); });
  ASSERT_EQ(spans.size(), 1u);
  // The kernel tells the start in hundredths of a second.
  EXPECT_GE(spans[0].at("end_us").as_int64() - spans[0].at("begin_us").as_int64(), 0);
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
