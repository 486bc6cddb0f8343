#include "tether/session/program_lookup.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/files.hpp"
#include "tether/session/launch_failure.hpp"

namespace berth::tether {
namespace {

class ProgramLookup : public testing::Test {
 protected:
  ProgramLookup() : folder_(std::filesystem::temp_directory_path(), "lookup-") {
    for (const char* name : {"first/only-here", "second/both", "first/both", "first/plain"}) {
      const auto path = folder_.path() / name;
      make_directories(path.parent_path());
      std::ofstream(path) << "#!/bin/sh\n";
      ::chmod(path.c_str(), std::string_view(name) == "first/plain" ? 0644 : 0755);
    }
    make_directories(folder_.path() / "first/folder");
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string search_path() const { return path("first") + ":" + path("second"); }

  static std::string failure_of(const std::string& name, std::string_view path) {
    try {
      find_program_file(name, path);
    } catch (const LaunchError& error) {
      return describe_launch_failure(error);
    }
    return "nothing";
  }

  TempDir folder_;
};

TEST_F(ProgramLookup, SearchesThePathInOrder) {
  EXPECT_EQ(find_program_file("both", search_path()), path("first/both"));
  EXPECT_EQ(find_program_file("both", "/not/there:" + path("second")), path("second/both"));
}

TEST_F(ProgramLookup, PassesOverWhatCannotBeExecuted) {
  const std::string missing = "not-found: exec: \"plain\": executable file not found in $PATH";
  EXPECT_EQ(failure_of("plain", search_path()), missing);
  EXPECT_EQ(failure_of("folder", search_path()),
            "not-found: exec: \"folder\": executable file not found in $PATH");
}

TEST_F(ProgramLookup, NameWithASlashIsTakenAsItIs) {
  EXPECT_EQ(find_program_file(path("first/only-here"), ""), path("first/only-here"));
  EXPECT_EQ(failure_of(path("missing"), search_path()), "not-found: exec: \"" + path("missing") +
                                                            "\": stat " + path("missing") +
                                                            ": No such file or directory");
  EXPECT_EQ(failure_of(path("first/plain"), ""),
            "not-executable: exec: \"" + path("first/plain") + "\": Permission denied");
  EXPECT_EQ(failure_of(path("first"), ""), "not-executable: exec: \"" + path("first") + "\": Is a directory");
}

TEST_F(ProgramLookup, EmptyCommandIsNotFound) {
  EXPECT_EQ(failure_of("", search_path()), "not-found: exec: no command");
}

}  // namespace
}  // namespace berth::tether
