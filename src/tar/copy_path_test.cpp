#include "tar/copy_path.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/files.hpp"

namespace berth::tar {
namespace {

namespace fs = std::filesystem;

TEST(CopyPath, TellsFoldersAndTheirContentByItsEnd) {
  struct Case {
    std::string path, clean, name, parent;
    bool folder, content;
  };
  const Case cases[] = {
      {"/a/b", "a/b", "b", "a", false, false},
      {"a", "a", "a", "", false, false},
      {"/a/b/", "a/b", "b", "a", true, false},
      {"/a/b/.", "a/b", ".", "a", true, true},
      {"/", "", ".", "", true, true},
      {"", "", ".", "", true, true},
      {".", "", ".", "", true, true},
      {"/../../etc", "etc", "etc", "", false, false},
      {"/a//./b/../c", "a/c", "c", "a", false, false},
      {"/a/..", "", ".", "", true, true},
      {"/a.", "a.", "a.", "", false, false},
      {"/a/...", "a/...", "...", "a", false, false},
  };
  for (const Case& wanted : cases) {
    const CopyPath path = parse_copy_path(wanted.path);
    EXPECT_EQ(path.clean, wanted.clean) << wanted.path;
    EXPECT_EQ(path.name(), wanted.name) << wanted.path;
    EXPECT_EQ(path.parent(), wanted.parent) << wanted.path;
    EXPECT_EQ(path.folder, wanted.folder) << wanted.path;
    EXPECT_EQ(path.content, wanted.content) << wanted.path;
  }
  EXPECT_THROW(parse_copy_path(std::string_view("a\0b", 3)), Error);
}

TEST(CopyPath, LinksAreResolvedWithinTheRoot) {
  const TempDir folder(testing::TempDir(), "path-");
  make_directories(folder.path() / "inner/deep", 0755);
  fs::create_symlink("/inner", folder.path() / "absolute");
  fs::create_symlink("../../..", folder.path() / "up");
  fs::create_symlink("absolute/deep", folder.path() / "chain");
  fs::create_symlink("/none/../missing", folder.path() / "dangling");
  fs::create_symlink("round", folder.path() / "round");
  const ConfinedRoot root(folder.path());
  EXPECT_EQ(resolve_links(root, "absolute"), "inner");
  EXPECT_EQ(resolve_links(root, "chain/x"), "inner/deep/x");
  EXPECT_EQ(resolve_links(root, "up/inner"), "inner");
  EXPECT_EQ(resolve_links(root, "dangling/x"), "missing/x");
  EXPECT_EQ(resolve_links(root, "nothing/here"), "nothing/here");
  EXPECT_EQ(resolve_links(root, ""), "");
  EXPECT_THROW(resolve_links(root, "round"), Error);
}

}  // namespace
}  // namespace berth::tar
