#include "cli/pairs_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

using extraconfig::Pairs;
using testing::HasSubstr;

TEST(PairsText, HasALineForEachPair) {
  EXPECT_EQ(pairs_to_text({{"a", "1"}, {"b|c", "two\nlines \"quoted\""}}),
            "{\n  \"a\": \"1\",\n  \"b|c\": \"two\\nlines \\\"quoted\\\"\"\n}\n");
  EXPECT_EQ(pairs_to_text({}), "{}\n");
}

TEST(PairsText, ComesBack) {
  const Pairs pairs = {{"", ""},
                       {"bytes", std::string("\0\xff", 2)},
                       {"looks like bytes", "base64:AA=="},
                       {"text", "\xc3\xa9\t\x01"}};
  EXPECT_EQ(pairs_from_text(pairs_to_text(pairs)), pairs);
  EXPECT_THAT(pairs_to_text(pairs), HasSubstr("\"bytes\": \"base64:AP8=\""));
}

TEST(PairsText, SaysWhatIsWrong) {
  const auto message_of = [](std::string_view text) -> std::string {
    try {
      pairs_from_text(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::invalid_argument);
      return error.message();
    }
    return "none";
  };
  EXPECT_THAT(message_of(R"({"a": 1})"), HasSubstr(R"(["a"]: expected a text)"));
  EXPECT_THAT(message_of(R"({"a": "1", "a": "2"})"), HasSubstr("twice"));
  EXPECT_THAT(message_of(R"({"a": "base64:*"})"), HasSubstr(R"(["a"])"));
  EXPECT_THAT(message_of("a=1"), HasSubstr("byte 0"));
}

TEST(DifferenceText, ShowsWhatIsGoneAndNew) {
  const Pairs before = {{"a", "1"}, {"b", "2"}, {"c", "3"}};
  EXPECT_EQ(difference_text(before, before, false), "");
  EXPECT_EQ(difference_text(before, {{"b", "2"}, {"c", "4"}, {"d", "5\n"}}, false),
            "- \"a\": \"1\"\n- \"c\": \"3\"\n+ \"c\": \"4\"\n+ \"d\": \"5\\n\"\n");
}

TEST(DifferenceText, ShowsSecretsOnlyIfTold) {
  const Pairs before = {{"guestinfo.vice./token@secret", "open"}};
  const Pairs after = {{"guestinfo.ovfEnv", "key"}};
  EXPECT_EQ(difference_text(before, after, false),
            "+ \"guestinfo.ovfEnv\": <secret>\n- \"guestinfo.vice./token@secret\": <secret>\n");
  EXPECT_THAT(difference_text(before, after, true), HasSubstr("\"open\""));
}

}  // namespace
}  // namespace berth::cli
