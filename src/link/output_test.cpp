#include "link/output.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.hpp"

namespace berth::link {
namespace {

std::string record(OutputKind kind, std::uint16_t session, Nanoseconds time, const std::string& payload) {
  return encode_output_header(kind, session, time, payload.size()) + payload;
}

TEST(OutputParser, FindsTheRecordsHoweverTheyAreCut) {
  const std::string stream =
      record(OutputKind::open, 3, Nanoseconds(5), "session") +
      record(OutputKind::standard_error, 3, Nanoseconds(-1), std::string(70'000 % 65'536, 'x')) +
      record(OutputKind::end, 3, Nanoseconds(7), "") + record(OutputKind::mark, 0, Nanoseconds(8), "token");
  for (const std::size_t piece : {1u, 7u, 16u, 17u, 1000u, 100'000u}) {
    OutputParser parser;
    std::vector<OutputRecord> found;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      parser.feed(std::string_view(stream).substr(at, piece),
                  [&](OutputRecord&& r) { found.push_back(std::move(r)); });
    }
    ASSERT_EQ(found.size(), 4u) << piece;
    EXPECT_EQ(found[0].kind, OutputKind::open);
    EXPECT_EQ(found[0].payload, "session");
    EXPECT_EQ(found[1].time, Nanoseconds(-1));
    EXPECT_EQ(found[1].payload.size(), 70'000u % 65'536u);
    EXPECT_EQ(found[2].session, 3);
    EXPECT_EQ(found[3].kind, OutputKind::mark);
    EXPECT_EQ(found[3].payload, "token");
  }
}

TEST(OutputParser, RefusesWhatIsNoRecord) {
  const auto feed = [](std::string header) { OutputParser().feed(header, [](OutputRecord&&) {}); };
  std::string good = encode_output_header(OutputKind::end, 0, Nanoseconds(0), 0);
  EXPECT_NO_THROW(feed(good));
  std::string too_long = encode_output_header(OutputKind::end, 0, Nanoseconds(0), kOutputPayloadLimit + 1);
  EXPECT_THROW(feed(too_long), Error);
  good[4] = 6;
  EXPECT_THROW(feed(good), Error);
}

}  // namespace
}  // namespace berth::link
