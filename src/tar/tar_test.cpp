#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/xattr.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "tar/decompress.hpp"
#include "tar/pack.hpp"
#include "tar/test_archives.hpp"
#include "tar/unpack.hpp"

namespace berth::tar {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// A tree to pack, one to unpack into, and a folder beside them that nothing may touch.
class Tar : public testing::Test {
 protected:
  Tar() {
    for (const char* name : {"source", "target"}) make_directories(folder_.path() / name, 0755);
  }

  fs::path source(const std::string& path = "") const { return folder_.path() / "source" / path; }
  fs::path target(const std::string& path = "") const { return folder_.path() / "target" / path; }

  std::string pack_source(const std::string& entry, const std::string& name) {
    const UniqueFd root = open_file(source(), O_PATH | O_DIRECTORY);
    std::string bytes;
    warnings_ = pack(root.get(), entry, name, [&](std::string_view piece) {
      EXPECT_LE(piece.size(), kPieceSize);
      bytes += piece;
    });
    return bytes;
  }

  /// Gives the archive in small pieces.
  void unpack_target(const std::string& bytes, const UnpackRules& rules = {}) {
    constexpr std::size_t kPiece = 1000;
    std::string_view left = bytes;
    const Source pieces = [&] {
      const std::string_view piece = left.substr(0, kPiece);
      left.remove_prefix(piece.size());
      return piece;
    };
    warnings_ = unpack(pieces, ConfinedRoot(target()), rules);
    EXPECT_TRUE(left.empty());
  }

  Error failure(const std::vector<TestEntry>& entries, const UnpackRules& rules = {}) {
    try {
      unpack_target(make_tar(entries), rules);
    } catch (const Error& error) {
      EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 2)
          << "something was made outside";
      return error;
    }
    ADD_FAILURE() << "it was unpacked";
    return Error(Code::internal, "none");
  }

  static std::string content(const fs::path& path) { return read_file(path); }
  static bool exists(const fs::path& path) { return fs::exists(fs::symlink_status(path)); }
  static struct stat status(const fs::path& path) {
    struct stat result {};
    EXPECT_EQ(::lstat(path.c_str(), &result), 0) << path;
    return result;
  }
  static void write(const fs::path& path, std::string_view text, mode_t mode = 0644) {
    make_directories(path.parent_path(), 0755);
    const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    write_all(file.get(), text);
    EXPECT_EQ(::fchmod(file.get(), mode), 0);
  }

  TempDir folder_{testing::TempDir(), "tar-"};
  std::vector<std::string> warnings_;
};

TEST_F(Tar, KeepsWhatFilesAre) {
  write(source("a/file"), "content", 0640);
  write(source("a/run"), "", 04755);
  write(source("a/e\xcc\x81"), "decomposed");
  write(source("a/bad\xff"), "no UTF-8");
  const std::string long_name(250, 'n');
  write(source("a/" + long_name + "/" + long_name), "long");
  fs::create_hard_link(source("a/file"), source("a/same"));
  fs::create_symlink("../nowhere", source("a/link"));
  ASSERT_EQ(::mkfifo(source("a/pipe").c_str(), 0600), 0);
  const bool attributes = ::setxattr(source("a/file").c_str(), "user.mark", "x\0y", 3, 0) == 0;
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ::utimensat(AT_FDCWD, source("a/file").c_str(), times, 0);
  ::utimensat(AT_FDCWD, source("a").c_str(), times, 0);

  unpack_target(pack_source("a", "a"));
  EXPECT_EQ(content(target("a/file")), "content");
  EXPECT_EQ(status(target("a/file")).st_mode, S_IFREG | 0640u);
  EXPECT_EQ(status(target("a/run")).st_mode, S_IFREG | 04755u);
  EXPECT_EQ(content(target("a/e\xcc\x81")), "decomposed");
  EXPECT_EQ(content(target("a/bad\xff")), "no UTF-8");
  EXPECT_EQ(content(target("a/" + long_name + "/" + long_name)), "long");
  EXPECT_EQ(status(target("a/file")).st_ino, status(target("a/same")).st_ino);
  EXPECT_EQ(fs::read_symlink(target("a/link")), "../nowhere");
  EXPECT_TRUE(S_ISFIFO(status(target("a/pipe")).st_mode));
  EXPECT_EQ(status(target("a/file")).st_mtim.tv_sec, 1'000'000'000);
  EXPECT_EQ(status(target("a")).st_mtim.tv_sec, 1'000'000'000);
  if (attributes) {
    char value[8];
    EXPECT_EQ(::getxattr(target("a/file").c_str(), "user.mark", value, sizeof value), 3);
  }
}

TEST_F(Tar, KeepsLargeFilesWhole) {
  std::string large;
  for (int i = 0; large.size() < (3u << 20); ++i) large += std::to_string(i) + " ";
  write(source("large"), large);
  const std::string bytes = pack_source("large", "large");
  EXPECT_LT(bytes.size(), large.size() + 4096);
  unpack_target(bytes);
  EXPECT_EQ(content(target("large")), large);
}

TEST_F(Tar, PacksTheContentOfAFolder) {
  write(source("a/file"), "1");
  UnpackRules rules;
  rules.place = "new";
  ::chmod(source("a").c_str(), 0711);
  const UniqueFd folder = open_file(source("a"), O_PATH | O_DIRECTORY);
  std::string bytes;
  pack(folder.get(), ".", ".", [&](std::string_view piece) { bytes += piece; });
  unpack_target(bytes, rules);
  EXPECT_EQ(content(target("new/file")), "1");
  EXPECT_EQ(status(target("new")).st_mode, S_IFDIR | 0711u);
}

TEST_F(Tar, LeavesTheFolderAloneThatContentGoesInto) {
  write(source("a/file"), "1");
  ::chmod(source("a").c_str(), 0711);
  make_directories(target("there"), 0755);
  const std::string bytes = pack_source("a", ".");
  unpack_target(bytes);
  EXPECT_EQ(content(target("file")), "1");
  EXPECT_EQ(status(target()).st_mode, S_IFDIR | 0755u);
  UnpackRules rules;
  rules.place = "there";
  unpack_target(bytes, rules);
  EXPECT_EQ(status(target("there")).st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(content(target("there/file")), "1");
}

TEST_F(Tar, RenamesTheFirstComponent) {
  write(source("a/file"), "1");
  fs::create_hard_link(source("a/file"), source("a/same"));
  UnpackRules rules;
  rules.top = "a";
  rules.place = "b";
  unpack_target(pack_source("a", "a"), rules);
  EXPECT_EQ(content(target("b/file")), "1");
  EXPECT_EQ(status(target("b/file")).st_ino, status(target("b/same")).st_ino);
  EXPECT_FALSE(exists(target("a")));
}

TEST_F(Tar, TakesNothingThatWasNotAskedFor) {
  UnpackRules rules;
  rules.top = "a";
  rules.place = "b";
  EXPECT_THAT(failure({folder("a"), file("other/x", "1")}, rules).what(), HasSubstr("not part of \"a\""));
  EXPECT_EQ(failure({file("ab", "1")}, rules).code(), Code::corrupt);
  EXPECT_EQ(failure({folder("a"), hard_link("a/x", "etc/passwd")}, rules).code(), Code::corrupt);
  EXPECT_FALSE(exists(target("other")));
}

TEST_F(Tar, G3NothingLeavesTheRoot) {
  EXPECT_EQ(failure({file("../../etc/x", "1")}).code(), Code::corrupt);
  EXPECT_EQ(failure({file("a/../../x", "1")}).code(), Code::corrupt);
  EXPECT_EQ(failure({hard_link("x", "../source/secret")}).code(), Code::corrupt);
  EXPECT_EQ(failure({hard_link("x", "/etc/passwd")}).code(), Code::corrupt);
  unpack_target(make_tar({file("/etc/absolute", "1")}));
  EXPECT_EQ(content(target("etc/absolute")), "1");
}

TEST_F(Tar, G3AnArchiveCannotLeadThroughItsOwnLinks) {
  const std::string outside = source().string();
  EXPECT_THAT(failure({symlink("out", "/"), file("out/x", "1")}).what(), HasSubstr("the link \"out\""));
  EXPECT_EQ(failure({symlink("up", ".."), file("up/source/x", "1")}).code(), Code::corrupt);
  EXPECT_EQ(
      failure({folder("d"), symlink("d/l", outside), folder("d/l/deep"), file("d/l/deep/x", "1")}).code(),
      Code::corrupt);
  EXPECT_TRUE(fs::is_empty(source()));
  // A link is replaced, never written through.
  unpack_target(make_tar({symlink("l", outside + "/made"), file("l", "1")}));
  EXPECT_EQ(content(target("l")), "1");
  EXPECT_FALSE(S_ISLNK(status(target("l")).st_mode));
  EXPECT_TRUE(fs::is_empty(source()));
}

TEST_F(Tar, G3LinksThatWereThereAreFollowedWithinTheRoot) {
  fs::create_directory_symlink("/inner", target("absolute"));
  fs::create_directory_symlink("../../../..", target("up"));
  make_directories(target("inner"), 0755);
  unpack_target(make_tar({file("absolute/x", "1"), file("up/y", "2")}));
  EXPECT_EQ(content(target("inner/x")), "1");
  EXPECT_EQ(content(target("y")), "2");
}

TEST_F(Tar, AFolderAndSomethingElseDoNotReplaceEachOther) {
  write(target("file"), "old");
  make_directories(target("folder"), 0755);
  fs::create_directory_symlink("folder", target("link"));
  EXPECT_THAT(failure({folder("file")}).what(),
              HasSubstr("cannot overwrite non-directory \"/file\" with directory"));
  EXPECT_THAT(failure({file("folder", "")}).what(),
              HasSubstr("cannot overwrite directory \"/folder\" with non-directory"));
  EXPECT_EQ(failure({folder("link")}).code(), Code::conflict);
  unpack_target(make_tar({file("file", "new")}));
  EXPECT_EQ(content(target("file")), "new");
}

TEST_F(Tar, RefusesWhatItMayNotMake) {
  UnpackRules rules;
  rules.write.devices = Devices::none;
  const Error error = failure({device("disk", AE_IFBLK, 8, 0)}, rules);
  EXPECT_EQ(error.code(), Code::unsupported);
  EXPECT_THAT(error.what(), HasSubstr("block device (8:0)"));
  EXPECT_EQ(failure({device("null", AE_IFCHR, 1, 3)}, rules).code(), Code::unsupported);
  EXPECT_EQ(failure({file(std::string(300, 'n'), "")}).code(), Code::corrupt);
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "d/";
  EXPECT_EQ(failure({file(deep + "x", "")}).code(), Code::corrupt);
}

TEST_F(Tar, DropsPrivilegesWhenTold) {
  UnpackRules rules;
  rules.write = {Owners::of_process, Devices::none, false};
  TestEntry program = file("program", "#!", 06755);
  program.uid = 12345;
  program.attributes[XATTR_NAME_CAPS] = std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  unpack_target(make_tar({program}), rules);
  EXPECT_EQ(status(target("program")).st_mode, S_IFREG | 0755u);
  EXPECT_EQ(status(target("program")).st_uid, ::geteuid());
  EXPECT_LT(::getxattr(target("program").c_str(), XATTR_NAME_CAPS, nullptr, 0), 0);
}

TEST_F(Tar, OwnersAreRootsOrTheArchives) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  TestEntry owned = file("owned", "");
  owned.uid = 12345;
  owned.gid = 54321;
  UnpackRules rules;
  unpack_target(make_tar({owned}), rules);
  EXPECT_EQ(status(target("owned")).st_uid, 12345u);
  EXPECT_EQ(status(target("owned")).st_gid, 54321u);
  rules.write.owners = Owners::root;
  unpack_target(make_tar({owned}), rules);
  EXPECT_EQ(status(target("owned")).st_uid, 0u);
  EXPECT_EQ(status(target("owned")).st_gid, 0u);
}

TEST_F(Tar, ReportsDamage) {
  const std::string bytes = make_tar({file("a", std::string(5000, 'x'))});
  for (const std::size_t size : {std::size_t{100}, std::size_t{600}, std::size_t{4000}}) {
    try {
      unpack_target(bytes.substr(0, size));
      ADD_FAILURE() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::corrupt) << error.what();
    }
  }
  EXPECT_THROW(unpack_target(std::string(4096, 'x')), Error);
  unpack_target("");
}

TEST_F(Tar, LeavesOutSocketsAndTheKernelsFileSystems) {
  make_directories(source("a"), 0755);
  const UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const UniqueFd folder = open_file(source("a"), O_PATH | O_DIRECTORY);
  fmt::format_to_n(address.sun_path, sizeof address.sun_path - 1, "/proc/self/fd/{}/s", folder.get());
  ASSERT_EQ(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  unpack_target(pack_source("a", "a"));
  EXPECT_TRUE(fs::is_empty(target("a")));
  pack_source("a", "a");
  EXPECT_THAT(warnings_, ElementsAre("sockets are left out"));

  const UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
  try {
    pack(root.get(), "proc", "proc", [](std::string_view) {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unsupported);
  }
}

TEST_F(Tar, DecompressesWhatIsCompressed) {
  const auto decompressed = [](std::string_view bytes) {
    std::string result;
    const Source source = [&bytes] {
      const std::string_view piece = bytes.substr(0, 10);
      bytes.remove_prefix(piece.size());
      return piece;
    };
    decompress(source, [&](std::string_view piece) { result += piece; });
    return result;
  };
  const std::string gzip("\x1f\x8b\x08\0\0\0\0\0\x02\xff\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\5\0\0\0",
                         25);
  EXPECT_EQ(decompressed(gzip), "hello");
  EXPECT_EQ(decompressed("not compressed"), "not compressed");
  EXPECT_EQ(decompressed(""), "");
  EXPECT_THROW(decompressed(std::string_view(gzip).substr(0, 15)), Error);
}

TEST_F(Tar, AFailingEndIsSeen) {
  write(source("file"), std::string(1 << 20, 'x'));
  const UniqueFd root = open_file(source(), O_PATH | O_DIRECTORY);
  const Sink full = [](std::string_view) { throw Error(Code::unavailable, "nobody reads"); };
  EXPECT_THROW(pack(root.get(), "file", "file", full), Error);
  const Source broken = []() -> std::string_view { throw Error(Code::unavailable, "nobody writes"); };
  try {
    unpack(broken, ConfinedRoot(target()), {});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unavailable);
  }
  EXPECT_THROW(pack_source("missing", "missing"), Error);
}

}  // namespace
}  // namespace berth::tar
