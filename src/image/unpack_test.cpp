#include "image/unpack.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/xattr.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/process.hpp"
#include "image/test_images.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Unpack : public testing::Test {
 protected:
  /// Applies layers to a fresh tree.
  std::vector<std::string> unpack(const std::vector<std::string>& layers, const UnpackLimits& limits = {}) {
    remove_tree(tree());
    make_directories(tree(), 0755);
    Unpacker unpacker(tree(), limits);
    for (const std::string& layer : layers) {
      const UniqueFd fd = memory_file(layer);
      unpacker.apply(fd.get(), "sha256:test", "");
    }
    return unpacker.warnings();
  }

  Error failure(const std::vector<TestEntry>& entries, const UnpackLimits& limits = {}) {
    return error_of([&] { unpack({make_tar(entries)}, limits); });
  }

  fs::path tree() const { return folder_.path() / "tree"; }
  fs::path at(const std::string& path) const { return tree() / path; }
  std::string read(const std::string& path) const { return read_file(at(path)); }
  bool exists(const std::string& path) const { return fs::exists(fs::symlink_status(at(path))); }
  struct stat status(const std::string& path) const {
    struct stat result {};
    EXPECT_EQ(::lstat(at(path).c_str(), &result), 0) << path;
    return result;
  }
  /// Nothing was made beside the tree.
  void expect_confined() const {
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
  }
  static bool root() { return ::geteuid() == 0; }

  TempDir folder_{testing::TempDir(), "unpack-"};
};

TEST_F(Unpack, KeepsContentModesOwnersAndTimes) {
  TestEntry owned = file("usr/bin/tool", "#!", 06755);
  owned.uid = 1234;
  owned.gid = 70000;
  owned.mtime = 1'234'567'890;
  TestEntry place = folder("usr", 01777);
  place.mtime = 1'111'111'111;
  unpack({make_tar({place, folder("usr/bin", root() ? 0555 : 0755), owned, symlink("usr/link", "/etc/passwd"),
                    hard_link("usr/bin/same", "usr/bin/tool"), device("pipe", AE_IFIFO, 0, 0)})});
  const auto tool = status("usr/bin/tool");
  EXPECT_EQ(tool.st_mode, S_IFREG | 06755u);
  EXPECT_EQ(tool.st_mtim.tv_sec, 1'234'567'890);
  if (root()) {
    EXPECT_EQ(tool.st_uid, 1234u);
    EXPECT_EQ(tool.st_gid, 70000u);
  }
  EXPECT_EQ(tool.st_ino, status("usr/bin/same").st_ino);
  EXPECT_EQ(status("usr").st_mode, S_IFDIR | 01777u);
  EXPECT_EQ(status("usr").st_mtim.tv_sec, 1'111'111'111);
  EXPECT_EQ(fs::read_symlink(at("usr/link")), "/etc/passwd");
  EXPECT_EQ(status("usr/link").st_mtim.tv_sec, 1'600'000'000);
  EXPECT_TRUE(S_ISFIFO(status("pipe").st_mode));
}

TEST_F(Unpack, ReadsEveryCompressionAndDigestsTheContent) {
  const std::string tar = make_tar({file("a", std::string(1 << 20, 'x'))});
  for (const Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    remove_tree(tree());
    make_directories(tree());
    Unpacker unpacker(tree());
    const UniqueFd fd = memory_file(compress(tar, compression));
    unpacker.apply(fd.get(), "sha256:test", digest_of(tar));
    EXPECT_EQ(read("a").size(), 1u << 20);
  }
}

TEST_F(Unpack, DigestsWhatFollowsTheEndOfTheArchive) {
  const std::string tar = make_tar({file("a", "1")}) + std::string(20000, '\0') + "more";
  make_directories(tree());
  Unpacker unpacker(tree());
  const UniqueFd fd = memory_file(compress(tar, Compression::gzip));
  unpacker.apply(fd.get(), "sha256:test", digest_of(tar));
  EXPECT_EQ(read("a"), "1");
}

TEST_F(Unpack, AcceptsAnEmptyLayer) {
  EXPECT_TRUE(unpack({make_tar({}), ""}).empty());
  EXPECT_TRUE(fs::is_empty(tree()));
}

TEST_F(Unpack, KeepsLongAndForeignNames) {
  const std::string name = std::string(200, 'n') + "/" + std::string(250, 'm');
  const std::string decomposed = "e\xcc\x81";
  const std::string composed = "\xc3\xa9";
  unpack(
      {make_tar({file(name, "long"), file(decomposed, "1"), file(composed, "2"), symlink("l", decomposed)})});
  EXPECT_EQ(read(name), "long");
  EXPECT_EQ(read(decomposed), "1");
  EXPECT_EQ(read(composed), "2");
  EXPECT_EQ(fs::read_symlink(at("l")).string(), decomposed);
}

TEST_F(Unpack, KeepsAttributesButNotThoseOfTheHost) {
  TestEntry tool = file("ping", "x", 0755);
  // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective.
  const std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  tool.attributes = {{"user.note", "hello"}, {"trusted.overlay.opaque", "y"}, {XATTR_NAME_CAPS, capability}};
  const auto warnings = unpack({make_tar({tool})});
  if (!warnings.empty()) GTEST_SKIP() << "no extended attributes here";
  char value[64];
  ASSERT_EQ(::getxattr(at("ping").c_str(), "user.note", value, sizeof value), 5);
  EXPECT_EQ(std::string_view(value, 5), "hello");
  ASSERT_EQ(::getxattr(at("ping").c_str(), XATTR_NAME_CAPS, value, sizeof value), 20);
  EXPECT_EQ(std::string_view(value, 20), capability);
  EXPECT_EQ(::getxattr(at("ping").c_str(), "trusted.overlay.opaque", value, sizeof value), -1);
}

TEST_F(Unpack, LaterLayersReplaceAndWhiteOut) {
  const std::string lower =
      make_tar({folder("d"), file("d/keep", "1"), file("d/gone", "2"), folder("d/sub"), file("d/sub/x", "3"),
                file("f", "4"), folder("becomes-file"), file("becomes-file/x", ""), file("becomes-dir", ""),
                symlink("s", "d")});
  const std::string upper =
      make_tar({file("d/.wh.gone", ""), file("d/.wh.sub", ""), file("f", "new"), file("becomes-file", "now"),
                folder("becomes-dir"), file("becomes-dir/y", "5"), folder("s"), file(".wh.never-there", "")});
  unpack({lower, upper});
  EXPECT_EQ(read("d/keep"), "1");
  EXPECT_FALSE(exists("d/gone"));
  EXPECT_FALSE(exists("d/sub"));
  EXPECT_EQ(read("f"), "new");
  EXPECT_EQ(read("becomes-file"), "now");
  EXPECT_EQ(read("becomes-dir/y"), "5");
  EXPECT_TRUE(S_ISDIR(status("s").st_mode));
  EXPECT_FALSE(exists("d/.wh.gone"));
}

TEST_F(Unpack, WhiteoutsHideOnlyLowerLayers) {
  const std::string lower =
      make_tar({folder("d"), file("d/old", "1"), folder("d/sub"), file("d/sub/old", "2"), folder("e"),
                file("e/old", "3"), file("e/both", "old")});
  // The opaque marks come last, as the specification allows.
  const std::string upper = make_tar(
      {folder("d"), file("d/new", "4"), folder("d/sub"), file("d/sub/new", "5"), file("d/.wh..wh..opq", ""),
       folder("e"), file("e/both", "new"), file("e/.wh.both", ""), file(".wh..wh.plnk/x", "")});
  unpack({lower, upper});
  EXPECT_FALSE(exists("d/old"));
  EXPECT_EQ(read("d/new"), "4");
  EXPECT_FALSE(exists("d/sub/old"));
  EXPECT_EQ(read("d/sub/new"), "5");
  EXPECT_EQ(read("e/old"), "3");
  EXPECT_EQ(read("e/both"), "new");
}

TEST_F(Unpack, FollowsLinksOnlyInsideTheRoot) {
  const fs::path outside = folder_.path() / "outside";
  make_directories(outside);
  const std::string lower =
      make_tar({folder("usr"), folder("usr/lib"), symlink("lib", "usr/lib"), symlink("out", outside),
                symlink("up", "../../../.."), symlink("passwd", "/etc/passwd")});
  unpack({lower, make_tar({file("lib/x", "1"), file("passwd", "mine")})});
  EXPECT_EQ(read("usr/lib/x"), "1");
  EXPECT_TRUE(S_ISREG(status("passwd").st_mode)) << "a final link is replaced, not followed";
  EXPECT_EQ(error_of([&] {
              unpack({lower, make_tar({file("up/etc-x", "1")})});
            }).message(),
            "no error was thrown");
  EXPECT_EQ(read("etc-x"), "1");
  // The absolute target names a path below the root, where the missing folder cannot be made through the
  // link.
  EXPECT_EQ(error_of([&] { unpack({lower, make_tar({file("out/x", "1")})}); }).code(), Code::corrupt);
  EXPECT_EQ(error_of([&] { unpack({lower, make_tar({file("out/.wh.x", "")})}); }).code(), Code::corrupt);
  EXPECT_TRUE(fs::is_empty(outside));
}

TEST_F(Unpack, AbsoluteNamesStayInside) {
  unpack({make_tar({file("/abs/x", "1"), file("//abs/./y", "2"), hard_link("/abs/z", "/abs/x")})});
  EXPECT_EQ(read("abs/x"), "1");
  EXPECT_EQ(read("abs/y"), "2");
  EXPECT_EQ(read("abs/z"), "1");
  expect_confined();
}

TEST_F(Unpack, RefusesWhatLeadsOut) {
  const std::vector<std::vector<TestEntry>> hostile{
      {file("../evil", "x")},
      {file("a/../../evil", "x")},
      {folder("..")},
      {hard_link("a", "../evil")},
      {hard_link("a", "/etc/passwd")},
      {symlink("s", "/etc"), hard_link("a", "s/passwd")},
      {folder("d"), hard_link("a", "d")},
      {hard_link("a", "/")},
      {file(".wh...", "")},
      {file(".wh..", "")},
      {file(".wh.", "")},
      {file("a", ""), file("a/b", "")},
      {symlink("loop", "loop"), file("loop/x", "")},
      {symlink("/", "/etc")},
  };
  for (std::size_t i = 0; i < hostile.size(); ++i) {
    const Error error = failure(hostile[i]);
    EXPECT_EQ(error.code(), Code::corrupt) << i << ": " << error.what();
    EXPECT_THAT(error.what(), HasSubstr("layer sha256:test: entry \"")) << i;
    expect_confined();
  }
}

TEST_F(Unpack, MakesHarmlessDevicesAndRefusesOthers) {
  const auto warnings =
      unpack({make_tar({device("dev/null", AE_IFCHR, 1, 3), device("dev/tty", AE_IFCHR, 5, 0)})});
  if (warnings.empty())
    EXPECT_EQ(status("dev/null").st_rdev, makedev(1, 3));
  else
    EXPECT_EQ(warnings.size(), 1u) << "one warning for all devices";
  for (const TestEntry& entry : {device("dev/mem", AE_IFCHR, 1, 1), device("dev/sda", AE_IFBLK, 8, 0)}) {
    const Error error = failure({entry});
    EXPECT_EQ(error.code(), Code::unsupported);
    EXPECT_THAT(error.what(), HasSubstr(entry.path));
  }
}

TEST_F(Unpack, KeepsItsLimits) {
  EXPECT_EQ(failure({file("a", std::string(2000, 'x'))}, {.bytes = 1000}).code(), Code::capacity);
  EXPECT_EQ(failure({file("a", "x"), file("b", "x"), file("c", "x")}, {.entries = 2}).code(), Code::capacity);
  EXPECT_EQ(failure({file("abcdef", "x")}, {.name_length = 5}).code(), Code::corrupt);
  EXPECT_EQ(failure({symlink("a", "abcdef")}, {.name_length = 5}).code(), Code::corrupt);
  EXPECT_EQ(failure({file(std::string(256, 'x'), "")}).code(), Code::corrupt);
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  EXPECT_EQ(failure({file(deep + "x", "")}).code(), Code::corrupt);
}

TEST_F(Unpack, DepthIsBoundedThroughLinksToo) {
  std::string deep;
  for (int i = 0; i < 200; ++i) deep += "d/";
  EXPECT_EQ(failure({file(deep + "x", ""), symlink("l", deep), file("l/" + deep + "x", "")}).code(),
            Code::corrupt);
}

TEST_F(Unpack, ABombIsStoppedEarly) {
  const std::string bomb = compress(make_tar({file("a", std::string(64 << 20, '\0'))}), Compression::gzip);
  const Error error = error_of([&] { unpack({bomb}, {.bytes = 1 << 20}); });
  EXPECT_EQ(error.code(), Code::capacity);
  EXPECT_FALSE(exists("a"));
  const std::string padding = compress(make_tar({}) + std::string(64 << 20, '\0'), Compression::zstd);
  EXPECT_EQ(error_of([&] { unpack({padding}, {.bytes = 1 << 20}); }).code(), Code::capacity);
}

TEST_F(Unpack, ReportsDamage) {
  const std::string tar = make_tar({file("a", std::string(100000, 'x'))});
  for (const Compression compression : {Compression::gzip, Compression::zstd}) {
    std::string bytes = compress(tar, compression);
    bytes.resize(bytes.size() / 2);
    EXPECT_EQ(error_of([&] { unpack({bytes}); }).code(), Code::corrupt);
  }
  EXPECT_EQ(error_of([&] { unpack({tar.substr(0, 1500)}); }).code(), Code::corrupt);
  EXPECT_EQ(error_of([&] { unpack({"this is no tar archive at all" + std::string(1000, 'x')}); }).code(),
            Code::corrupt);
  make_directories(tree());
  Unpacker unpacker(tree());
  const UniqueFd fd = memory_file(tar);
  const Error other = error_of([&] { unpacker.apply(fd.get(), "sha256:abc", digest_of("other")); });
  EXPECT_EQ(other.code(), Code::corrupt);
  EXPECT_THAT(other.what(), HasSubstr("layer sha256:abc"));
}

TEST_F(Unpack, SparseFilesKeepTheirHoles) {
  // GNU sparse 1.0 in a PAX header, as `tar --sparse --format=pax` writes it.
  ProcessSpec spec;
  spec.program = "tar";
  spec.arguments = {
      "--sparse", "--format=pax", "-C", folder_.path().string(), "-cf", (folder_.path() / "s.tar").string(),
      "sparse"};
  {
    const UniqueFd fd = open_file(folder_.path() / "sparse", O_WRONLY | O_CREAT);
    ASSERT_EQ(::pwrite(fd.get(), "end", 3, 10 << 20), 3);
  }
  run_checked(spec, std::chrono::seconds(30));
  unpack({read_file(folder_.path() / "s.tar")});
  EXPECT_EQ(status("sparse").st_size, (10 << 20) + 3);
  EXPECT_LT(status("sparse").st_blocks * 512, 1 << 20);
  EXPECT_EQ(read("sparse").substr(10 << 20), "end");
}

}  // namespace
}  // namespace berth::image
