#include "cli/json_template.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

constexpr const char* kDocument = R"({"Id":"4f1b","State":{"ExitCode":3,"Running":false},"Ports":[1]})";

TEST(JsonTemplate, FollowsPaths) {
  EXPECT_EQ(fill_json_template("{{.State.ExitCode}}", kDocument), "3");
  EXPECT_EQ(fill_json_template("{{ .Id }} is {{.State.Running}}", kDocument), "4f1b is false");
  EXPECT_EQ(fill_json_template("{{json .Id}} {{json .Ports}}", kDocument), "\"4f1b\" [1]");
  EXPECT_EQ(fill_json_template("{{json .}}", kDocument), kDocument);
  EXPECT_EQ(fill_json_template("text", kDocument), "text");
}

TEST(JsonTemplate, RefusesWhatCannotBe) {
  for (const char* text : {"{{.Nope}}", "{{.State.ExitCode.More}}", "{{.Id", "{{range .Ports}}", "{{}}"}) {
    EXPECT_THROW(fill_json_template(text, kDocument), Error) << text;
  }
}

}  // namespace
}  // namespace berth::cli
