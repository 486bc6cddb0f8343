#include "cli/environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Environment, AVariableIsTakenAsItIs) {
  EXPECT_THAT(parse_variable("A=b c=\"d\""), ElementsAre("A=b c=\"d\""));
  EXPECT_THAT(parse_variable("A="), ElementsAre("A="));
}

TEST(Environment, ANameAloneTakesTheHostsValue) {
  ::setenv("BERTH_TEST_SET", "host value", 1);
  ::unsetenv("BERTH_TEST_UNSET");
  EXPECT_THAT(parse_variable("BERTH_TEST_SET"), ElementsAre("BERTH_TEST_SET=host value"));
  EXPECT_THAT(parse_variable("BERTH_TEST_UNSET"), IsEmpty());
}

TEST(Environment, RefusesNamesThatCannotBe) {
  for (const char* text : {"", "=x", "A B=c", "A\tB"}) EXPECT_THROW(parse_variable(text), Error) << text;
}

TEST(Environment, ReadsFilesAsDockerDoes) {
  const TempDir folder(std::filesystem::temp_directory_path(), "env-");
  const auto path = folder.path() / "env";
  write_file_atomically(path, "\xef\xbb\xbf# comment\nA=1\r\n\n  B = 2 # kept\nC=\"q\"\nD=x#y");
  EXPECT_THROW(read_env_file(path), Error) << "blank in a name";
  write_file_atomically(path, "\xef\xbb\xbf# comment\nA=1\r\n\n  B= 2 # kept\nC=\"q\"\nD=x#y");
  EXPECT_THAT(read_env_file(path), ElementsAre("A=1", "B= 2 # kept", "C=\"q\"", "D=x#y"));
}

TEST(Environment, NamesTheLineThatIsWrong) {
  const TempDir folder(std::filesystem::temp_directory_path(), "env-");
  const auto path = folder.path() / "env";
  write_file_atomically(path, "A=1\nB C=2\n");
  try {
    read_env_file(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::invalid_argument);
    EXPECT_THAT(error.what(), HasSubstr("env:2: "));
  }
  EXPECT_THROW(read_env_file(folder.path() / "missing"), Error);
}

TEST(Environment, OptionsComeAfterFiles) {
  const TempDir folder(std::filesystem::temp_directory_path(), "env-");
  const auto path = folder.path() / "env";
  write_file_atomically(path, "A=file\n");
  EXPECT_THAT(collect_environment({path.string()}, {"A=option"}), ElementsAre("A=file", "A=option"));
}

}  // namespace
}  // namespace berth::cli
