#include "describe/json.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.hpp"

namespace berth::describe {
namespace json_test_types {

enum class Mode { off, on };
constexpr auto describe(const Mode*) {
  return numbered_enumerators(EnumeratorOf{"off", Mode::off}, EnumeratorOf{"on", Mode::on});
}

struct Cmd {
  std::vector<std::string> args;
  bool operator==(const Cmd&) const = default;
};
constexpr auto describe(const Cmd*) {
  return fields(field<&Cmd::args>("Args"));
}

struct Session {
  Cmd cmd;
  std::int64_t exit_status = 0;
  bool operator==(const Session&) const = default;
};
constexpr auto describe(const Session*) {
  return fields(field<&Session::cmd>("Cmd"), field<&Session::exit_status>("ExitStatus"));
}

struct Config {
  std::map<std::string, Session> sessions;
  std::map<int, double> numbers;
  std::optional<Session> maybe;
  std::vector<std::optional<int>> holes;
  Bytes blob;
  Time time;
  Mode mode = Mode::off;
  std::uint64_t big = 0;
  float ratio = 0;
  bool operator==(const Config&) const = default;
};
constexpr auto describe(const Config*) {
  return fields(field<&Config::sessions>("Sessions"), field<&Config::numbers>("Numbers"),
                field<&Config::maybe>("Maybe"), field<&Config::holes>("Holes"), field<&Config::blob>("Blob"),
                field<&Config::time>("Time"), field<&Config::mode>("Mode"), field<&Config::big>("Big"),
                field<&Config::ratio>("Ratio"));
}

Config sample() {
  Config config;
  config.sessions["a"] = {{{"x", "\"\\\n\x01\xc3\xa9"}}, -3};
  config.sessions[""] = {};
  config.numbers = {{-1, 0.1}, {7, std::numeric_limits<double>::infinity()}, {8, 5e-324}};
  config.maybe = Session{};
  config.holes = {1, std::nullopt, 3};
  config.blob.data = std::string("\0\xff", 2);
  config.time = {1257894000, 5, 3600, "CET"};
  config.mode = Mode::on;
  config.big = std::numeric_limits<std::uint64_t>::max();
  config.ratio = 0.1F;
  return config;
}

std::string message_of(std::string_view text) {
  Config config = sample();
  try {
    from_json(text, config, UnknownMembers::refuse);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::invalid_argument);
    EXPECT_EQ(config, sample());
    return error.message();
  }
  return "no error";
}

TEST(Json, ReadsWhatItWrote) {
  for (const bool indent : {false, true}) {
    Config again;
    from_json(to_json(sample(), {.indent = indent, .keep_unknown_of = {}}), again, UnknownMembers::refuse);
    EXPECT_EQ(again, sample());
  }
}

TEST(Json, NamesAreSnakeCase) {
  EXPECT_EQ(json_name("ExitStatus"), "exit_status");
  EXPECT_EQ(json_name("OOMKilled"), "oom_killed");
  EXPECT_EQ(json_name("ID"), "id");
  EXPECT_EQ(json_name("BridgeIPRange"), "bridge_ip_range");
}

TEST(Json, ErrorsNameThePath) {
  EXPECT_EQ(message_of(R"({"sessions": {"a": {"cmd": {"args": ["x", "y", 3]}}}})"),
            "sessions[\"a\"].cmd.args[2]: expected a text");
  EXPECT_EQ(message_of(R"({"mode": "half"})"), "mode: not one of the known names");
  EXPECT_EQ(message_of(R"({"big": -1})"), "big: expected a whole positive number of 64 bits");
  EXPECT_EQ(message_of(R"({"sessions": {"a": {"cmdd": 1}}})"),
            "sessions[\"a\"].cmdd: there is no such member");
  EXPECT_EQ(message_of(R"({"numbers": {"01": 1}})"), "numbers[\"01\"]: the name cannot be a key of this map");
  EXPECT_NE(message_of(R"({"big": 1, "big": 2})").find("twice"), std::string::npos);
  EXPECT_NE(message_of(R"({"big": 1} x)").find("byte"), std::string::npos);
  EXPECT_NE(message_of("{\"big\": ").find("incomplete"), std::string::npos);
  EXPECT_NE(message_of(std::string(1000, '[')).find("byte"), std::string::npos);
}

TEST(Json, SetsOnlyWhatIsThere) {
  Config config = sample();
  from_json(R"({"sessions": {"a": {"exit_status": 9}}, "maybe": null, "holes": null, "other": 1})", config);
  Config expected = sample();
  expected.sessions.erase("");
  expected.sessions["a"].exit_status = 9;
  expected.maybe.reset();
  expected.holes.clear();
  EXPECT_EQ(config, expected);
}

TEST(Json, KeepsUnknownMembers) {
  const std::string text = R"({"later":[1,{"x":null}],"sessions":{"a":{"new":true,"exit_status":1}}})";
  Config config;
  from_json(text, config);
  config.sessions["a"].exit_status = 2;
  const std::string again = to_json(config, {.indent = false, .keep_unknown_of = text});
  EXPECT_NE(again.find(R"("later":[1,{"x":null}])"), std::string::npos);
  EXPECT_NE(again.find(R"("exit_status":2,"new":true)"), std::string::npos);
}

TEST(Json, RefusesTextThatIsNotUtf8) {
  Config config;
  config.sessions["a"].cmd.args = {"\xff"};
  EXPECT_THROW(to_json(config), Error);
}

}  // namespace json_test_types
}  // namespace berth::describe
