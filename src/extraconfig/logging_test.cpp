#include "extraconfig/logging.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "extraconfig/codec.hpp"
#include "extraconfig/seal.hpp"

namespace berth::extraconfig {
namespace logging_types {

namespace scope = describe::scope;
using testing::HasSubstr;
using testing::Not;

struct Login {
  std::string user;
  std::string password;
};
constexpr auto describe(const Login*) {
  using describe::field;
  return describe::fields(field<&Login::user>("User", "user", scope::read_only),
                          field<&Login::password>("Password", "password", scope::secret));
}

class Logging : public testing::Test {
 protected:
  LogLine collect() {
    return [this](std::string_view line) { (lines += line) += '\n'; };
  }
  std::string lines;
  Pairs pairs;
  PairsSink sink{pairs};
  PairsSource source{pairs};
};

TEST_F(Logging, ASinkLogsAndPassesOn) {
  LoggingSink logging(sink, collect());
  encode(Login{"ann\n", "open sesame"}, logging);
  EXPECT_EQ(lines,
            "put guestinfo.vice./user = \"ann \"\n"
            "put guestinfo.vice./password@secret = <secret, 11 bytes>\n");
  EXPECT_EQ(pairs, encode(Login{"ann\n", "open sesame"}));
}

TEST_F(Logging, ASourceLogsWhatItGives) {
  pairs = {{"guestinfo.vice./password@secret", "open sesame"}};
  LoggingSource logging(source, collect());
  Login login;
  decode(logging, login);
  EXPECT_EQ(login.password, "open sesame");
  EXPECT_EQ(lines,
            "get guestinfo.vice./user = nothing\n"
            "get guestinfo.vice./password@secret = <secret, 11 bytes>\n");
  EXPECT_TRUE(logging.any_below("guestinfo.vice./p"));
  EXPECT_THAT(lines, HasSubstr("any below guestinfo.vice./p: yes\n"));
}

TEST_F(Logging, NoSealingKeyInTheLogOnEitherSide) {
  const SealingKey key = SealingKey::generate();
  LoggingSink inner(sink, collect());
  SealingSink sealing(inner, key);
  LoggingSink outer(sealing, collect());
  encode(Login{"ann", "open sesame"}, outer);
  ASSERT_TRUE(pairs.contains(kSealingKeyName));

  LoggingSource below(source, collect());
  OpeningSource opening(below, std::nullopt);
  LoggingSource above(opening, collect());
  Login login;
  decode(above, login);
  EXPECT_EQ(login.password, "open sesame");
  EXPECT_THAT(lines, Not(HasSubstr("sesame")));
  EXPECT_THAT(lines, Not(HasSubstr(key.to_string())));
}

TEST_F(Logging, ASourceLogsWhyAValueCannotBeGiven) {
  pairs = {{"guestinfo.vice./password@secret", "rubbish"}};
  OpeningSource opening(source, SealingKey::generate());
  LoggingSource logging(opening, collect());
  EXPECT_THROW(logging.get("guestinfo.vice./password@secret"), Error);
  EXPECT_THAT(lines, HasSubstr("damaged"));
}

TEST_F(Logging, GoesToTheLogUnlessToldOtherwise) {
  log::set_level(log::Level::debug);
  testing::internal::CaptureStderr();
  LoggingSink(sink).put("a", "b");
  LoggingSource(source).get("a");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("put a = \"b\""), HasSubstr("get a = \"b\"")));
  log::set_level(log::Level::info);
}

}  // namespace logging_types
}  // namespace berth::extraconfig
