#include "cli/copy_rules.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

TEST(CopyArgument, TellsContainersFromLocalPaths) {
  const auto expect = [](std::string_view text, const std::string& container, const std::string& path) {
    const CopyArgument argument = parse_copy_argument(text);
    EXPECT_EQ(argument.container, container) << text;
    EXPECT_EQ(argument.path, path) << text;
  };
  expect("web:/etc/hosts", "web", "/etc/hosts");
  expect("web:a:b", "web", "a:b");
  expect("web:", "web", "");
  expect("/a:b", "", "/a:b");
  expect("./a:b", "", "./a:b");
  expect("file", "", "file");
  expect("-", "", "-");
  expect(":x", "", "x");
}

struct Case {
  CopySource source;
  CopyDestination destination;
  std::string folder;  ///< empty: an error
  std::string name;
  Code code = Code::internal;
};

TEST(CopyPlan, FollowsDockersRules) {
  const CopySource file{"f", false};
  const CopySource folder{"d", true};
  const CopySource content{".", true};
  const Case cases[] = {
      // The destination is a folder.
      {file, {"/x", true, true}, "/x", "f"},
      {folder, {"/x", true, true}, "/x", "d"},
      {content, {"/x", true, true}, "/x", "."},
      {file, {"/x/", true, true}, "/x/", "f"},
      {content, {"/", true, true}, "/", "."},
      // It is something else.
      {file, {"/x/y", true, false}, "/x", "y"},
      {folder, {"/x/y", true, false}, "", "", Code::invalid_argument},
      {content, {"/x/y", true, false}, "", "", Code::invalid_argument},
      // It is not there.
      {file, {"/x/y"}, "/x", "y"},
      {file, {"/x/y/"}, "", "", Code::not_found},
      {folder, {"/x/y"}, "/x", "y"},
      {folder, {"/x/y/"}, "/x", "y"},
      {content, {"/x/y"}, "/x", "y"},
      {folder, {"/x/y/."}, "", "", Code::not_found},
      {file, {"y"}, "/", "y"},
  };
  for (const Case& wanted : cases) {
    const std::string name = wanted.source.name + " to " + wanted.destination.path;
    try {
      const CopyPlan plan = plan_copy(wanted.source, wanted.destination);
      EXPECT_EQ(plan.folder, wanted.folder) << name;
      EXPECT_EQ(plan.name, wanted.name) << name;
    } catch (const Error& error) {
      EXPECT_TRUE(wanted.folder.empty()) << name << ": " << error.what();
      EXPECT_EQ(error.code(), wanted.code) << name;
    }
  }
}

}  // namespace
}  // namespace berth::cli
