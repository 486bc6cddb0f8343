#include "cli/parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Given {
  bool tty = false;
  bool interactive = false;
  std::string name;
  std::optional<std::string> entrypoint;
  std::vector<std::string> environment;
  std::vector<std::string> rest;
};

std::optional<int> parse(Given& given, const Arguments& arguments, bool prefix = true) {
  Parser parser("berth run", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Run");
  parser.flag("-t,--tty", given.tty, "a terminal")
      .flag("-i,--interactive", given.interactive, "input")
      .value("--name", "NAME", given.name, "name")
      .value("--entrypoint", "COMMAND", given.entrypoint, "program")
      .list("-e,--env", "K=V", given.environment, "variable")
      .positionals(given.rest, 1);
  if (prefix) parser.flags_end_at_positional();
  return parser.parse(arguments, 125);
}

TEST(Parser, LeavesWhatFollowsTheImageAlone) {
  Given given;
  EXPECT_EQ(parse(given, {"-it", "--name", "x", "busybox", "sh", "-c", "echo", "-t", "--", "--name=", "-e"}),
            std::nullopt);
  EXPECT_TRUE(given.tty);
  EXPECT_TRUE(given.interactive);
  EXPECT_EQ(given.name, "x");
  EXPECT_THAT(given.environment, ElementsAre());
  EXPECT_THAT(given.rest, ElementsAre("busybox", "sh", "-c", "echo", "-t", "--", "--name=", "-e"));
}

TEST(Parser, TakesFlagsBetweenPositionalsUnlessToldNotTo) {
  Given given;
  EXPECT_EQ(parse(given, {"a", "-t", "b", "--name=n"}, false), std::nullopt);
  EXPECT_TRUE(given.tty);
  EXPECT_EQ(given.name, "n");
  EXPECT_THAT(given.rest, ElementsAre("a", "b"));
}

TEST(Parser, UnderstandsEverySpellingOfAValue) {
  Given given;
  EXPECT_EQ(parse(given, {"-eA=1", "-e", "B=2", "--env=C=3", "--env", "-D", "-te", "E=", "image"}),
            std::nullopt);
  EXPECT_THAT(given.environment, ElementsAre("A=1", "B=2", "C=3", "-D", "E="));
  EXPECT_TRUE(given.tty);
}

TEST(Parser, TakesOneValueForEachListOption) {
  Given given;
  EXPECT_EQ(parse(given, {"-e", "[a]", "image", "-e", "b"}), std::nullopt);
  EXPECT_THAT(given.environment, ElementsAre("[a]"));
  EXPECT_THAT(given.rest, ElementsAre("image", "-e", "b"));
}

TEST(Parser, KeepsAnEmptyValue) {
  Given given;
  EXPECT_EQ(parse(given, {"--entrypoint=", "image"}), std::nullopt);
  EXPECT_EQ(given.entrypoint, "");
  EXPECT_THAT(given.rest, ElementsAre("image"));

  Given separate;
  EXPECT_EQ(parse(separate, {"--entrypoint", "", "image"}), std::nullopt);
  EXPECT_EQ(separate.entrypoint, "");
  EXPECT_THAT(separate.rest, ElementsAre("image"));
}

TEST(Parser, TheLastValueWins) {
  Given given;
  EXPECT_EQ(parse(given, {"--name", "a", "--name", "b", "--tty", "--tty=false", "image"}), std::nullopt);
  EXPECT_EQ(given.name, "b");
  EXPECT_FALSE(given.tty);
}

TEST(Parser, FlagsEndAtTwoDashes) {
  Given given;
  EXPECT_EQ(parse(given, {"-t", "--", "-x"}), std::nullopt);
  EXPECT_THAT(given.rest, ElementsAre("-x"));
}

std::string usage_error_of(const Arguments& arguments) {
  Given given;
  testing::internal::CaptureStderr();
  EXPECT_EQ(parse(given, arguments), 125);
  return testing::internal::GetCapturedStderr();
}

TEST(Parser, SaysWhatIsWrongInOneLine) {
  EXPECT_EQ(usage_error_of({"--nope", "image"}), "berth: unknown flag: --nope\nSee 'berth run --help'.\n");
  EXPECT_EQ(usage_error_of({"-tz", "image"}), "berth: unknown flag: -z\nSee 'berth run --help'.\n");
  EXPECT_EQ(usage_error_of({"--nope=", "image"}), "berth: unknown flag: --nope=\nSee 'berth run --help'.\n");
  EXPECT_EQ(usage_error_of({"--name"}), "berth: flag needs an argument: --name\nSee 'berth run --help'.\n");
  EXPECT_EQ(usage_error_of({"-t"}),
            "berth: 'berth run' needs at least 1 argument\nSee 'berth run --help'.\n");
  EXPECT_THAT(usage_error_of({"--tty=maybe", "image"}), HasSubstr("--tty"));
}

TEST(Parser, HelpNamesOptionsAndExamples) {
  Given given;
  Parser parser("berth x", "[OPTIONS]", "Do x");
  parser.flag("-t,--tty", given.tty, "A terminal").value("--name", "NAME", given.name, "Its name");
  parser.example("berth x -t");
  EXPECT_THAT(parser.help(), HasSubstr("Usage: berth x [OPTIONS]\n\nDo x\n"));
  EXPECT_THAT(parser.help(), HasSubstr("  -t, --tty        A terminal\n      --name NAME  Its name\n"));
  EXPECT_THAT(parser.help(), HasSubstr("Example:\n  berth x -t\n"));
  testing::internal::CaptureStdout();
  EXPECT_EQ(parser.parse({"--help"}, 1), 0);
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("Show this help"));
}

}  // namespace
}  // namespace berth::cli
