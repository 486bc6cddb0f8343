#include "launcher/host_folders.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/files.hpp"
#include "base/io.hpp"
#include "launcher/folder_server.hpp"

namespace berth::launcher {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr Milliseconds kLimit{20'000};

std::optional<Error> refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

class HostFoldersTest : public testing::Test {
 protected:
  HostFoldersTest() : folder_("/tmp", "berth-folders-test-") {
    paths_.programs = BERTH_PROGRAMS;
    make_directories(shared());
    make_directories(runtime());
    write_file_atomically(shared() / "file", "content");
  }
  std::filesystem::path shared() const { return folder_.path() / "shared"; }
  std::filesystem::path runtime() const { return folder_.path() / "run"; }
  record::HostFolder folder(const std::filesystem::path& source) const {
    return {source.string(), "/in", false, false, ""};
  }
  void run_loop(const std::function<Task<>()>& body) {
    std::exception_ptr failure;
    bool done = false;
    asio::co_spawn(loop_, body(), [&](std::exception_ptr thrown) {
      failure = thrown;
      done = true;
    });
    const auto deadline = std::chrono::steady_clock::now() + 2 * kLimit;
    while (!done && loop_.run_one_until(deadline) > 0) continue;
    if (failure) std::rethrow_exception(failure);
    EXPECT_TRUE(done);
  }

  TempDir folder_;
  Paths paths_;
  asio::io_context loop_;
};

TEST_F(HostFoldersTest, ASourceIsAFolderOrAFile) {
  EXPECT_EQ(find_source(shared()), SourceKind::folder);
  EXPECT_EQ(find_source(shared() / "file"), SourceKind::file);
  EXPECT_EQ(find_source(shared() / "absent"), std::nullopt);
  EXPECT_EQ(find_source(shared() / "file/below"), std::nullopt);
  std::filesystem::create_symlink("file", shared() / "link");
  EXPECT_EQ(find_source(shared() / "link"), SourceKind::file);
  ASSERT_EQ(::mkfifo((shared() / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(refusal([&] { find_source(shared() / "fifo"); })->code(), Code::invalid_argument);
}

TEST_F(HostFoldersTest, WhatIsMissingIsMadeWhereThatWasAskedFor) {
  record::HostFolder missing = folder(folder_.path() / "a/b");
  const auto error = refusal([&] { prepare_sources({missing}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), Code::not_found);
  EXPECT_THAT(error->what(), HasSubstr(missing.source));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "a"));
  missing.make_source = true;
  prepare_sources({missing});
  prepare_sources({missing});
  EXPECT_TRUE(std::filesystem::is_directory(missing.source));
}

TEST_F(HostFoldersTest, TheServerIsTightlyConfigured) {
  const std::vector<std::string> words = file_server_arguments(3, "/stage");
  EXPECT_THAT(words, AllOf(Contains("--fd=3"), Contains("source=/stage"), Contains("sandbox=namespace"),
                           Contains("modcaps=-mknod"), Contains("xattr")));
  EXPECT_THAT(words, Contains("cache=auto,timeout=0,no_readdirplus"));
}

TEST_F(HostFoldersTest, TheHelperSaysWhyItCannotServe) {
  if (::geteuid() != 0) GTEST_SKIP() << "an ordinary user needs subordinate ids";
  const auto start = [&](const FolderService& service) {
    return refusal([&] { start_folder_server(paths_.launcher_program(), runtime(), service); });
  };
  const FolderService gone{file_server_program(), shared() / "absent", SourceKind::folder, false};
  EXPECT_EQ(start(gone)->code(), Code::not_found);
  EXPECT_THAT(start(gone)->what(), HasSubstr("absent"));
  const FolderService changed{file_server_program(), shared() / "file", SourceKind::folder, false};
  EXPECT_THAT(start(changed)->what(), HasSubstr("Not a directory"));
  const FolderService no_file{file_server_program(), shared(), SourceKind::file, false};
  EXPECT_EQ(start(no_file)->code(), Code::conflict);
  const FolderService no_server{"/nonexistent/virtiofsd", shared(), SourceKind::folder, false};
  EXPECT_THAT(start(no_server)->what(), HasSubstr("run virtiofsd"));
  EXPECT_TRUE(std::filesystem::is_empty(runtime()));
}

TEST_F(HostFoldersTest, ServersRunUntilTheyAreEnded) {
  if (::geteuid() != 0) GTEST_SKIP() << "an ordinary user needs subordinate ids";
  run_loop([this]() -> Task<> {
    const std::vector<record::HostFolder> wanted{folder(shared()), folder(shared() / "file")};
    HostFolders folders(loop_.get_executor(), runtime(), paths_, wanted);
    EXPECT_TRUE(std::filesystem::is_empty(runtime()));
    const auto given = folders.shared();
    EXPECT_EQ(given.size(), 2u);
    EXPECT_EQ(given.at(1).tag, "folder1");
    std::map<std::string, config::MountSpec> mounts;
    for (const char* tag : {"folder0", "folder1", "other"}) {
      mounts[tag].source.scheme = "virtiofs";
      mounts[tag].source.host = tag;
    }
    folders.complete(mounts);
    EXPECT_EQ(mounts["folder0"].source.path, "");
    EXPECT_EQ(mounts["folder1"].source.path, "/file");
    EXPECT_EQ(mounts["other"].source.path, "");
    const std::optional<Error> early = co_await folders.find_failure(Milliseconds(1));
    EXPECT_FALSE(early);
    co_await folders.end(kLimit);
    const std::optional<Error> why = co_await folders.find_failure(kLimit);
    EXPECT_THAT(why ? why->what() : "", AllOf(HasSubstr(shared().string()), HasSubstr("SIGKILL")));
  });
}

TEST_F(HostFoldersTest, AServerEndsWithItsMachine) {
  if (::geteuid() != 0) GTEST_SKIP() << "an ordinary user needs subordinate ids";
  run_loop([this]() -> Task<> {
    const std::vector<record::HostFolder> wanted{folder(shared())};
    HostFolders folders(loop_.get_executor(), runtime(), paths_, wanted);
    folders.machine_has_them();
    const Error why = co_await folders.wait_end_of_one();
    EXPECT_EQ(why.code(), Code::unavailable);
    const std::optional<Error> failed = co_await folders.find_failure(kLimit);
    EXPECT_FALSE(failed) << failed->what();
  });
}

}  // namespace
}  // namespace berth::launcher
