#include "launcher/log_file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::chrono_literals;

constexpr LogStream kOut = LogStream::standard_output;
constexpr LogStream kErr = LogStream::standard_error;

struct LogFile : ::testing::Test {
  TempDir directory{fs::temp_directory_path(), "log-"};
  fs::path folder = directory.path();
  fs::path current = folder / "container.log";

  static std::vector<LogEntry> entries(LogReader& reader) {
    std::vector<LogEntry> result;
    reader.read([&](const LogEntry& entry) { result.push_back(entry); });
    return result;
  }
  static std::vector<std::string> texts(LogReader& reader) {
    std::vector<std::string> result;
    for (const LogEntry& entry : entries(reader)) result.push_back(entry.bytes);
    return result;
  }
  std::vector<std::string> texts(LogQuery query = {}) const {
    LogReader reader(folder, query);
    return texts(reader);
  }
  std::string text(LogQuery query = {}) const {
    std::string result;
    for (const std::string& part : texts(query)) result += part;
    return result;
  }
};

template <typename Action>
Code code_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "no Error";
  return Code::internal;
}

TEST_F(LogFile, KeepsStreamTimeAndEveryByte) {
  const std::string binary("\0\n\xff|\r", 5);
  LogWriter writer(folder, {});
  writer.append(kOut, 7ns, binary);
  writer.append(kErr, 9ns, "no newline");

  LogReader reader(folder, {});
  const std::vector<LogEntry> all = entries(reader);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].stream, kOut);
  EXPECT_EQ(all[0].time, 7ns);
  EXPECT_EQ(all[0].bytes, binary);
  EXPECT_EQ(all[1].stream, kErr);
  EXPECT_EQ(all[1].time, 9ns);
  EXPECT_EQ(all[1].bytes, "no newline");
}

TEST_F(LogFile, HasTheDocumentedBytes) {
  LogWriter(folder, {}).append(kErr, 0x0102ns, "hi\n");
  const std::string expected(
      "berthlog\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
      "\2\1\0\0\0\0\0\0\3\0\0\0\2\0\0\0hi\n",
      43);
  EXPECT_EQ(read_file(current), expected);
  EXPECT_EQ(fs::status(current).permissions(), fs::perms(0600));
}

TEST_F(LogFile, WithoutALogThereIsNothing) {
  EXPECT_THAT(texts(), IsEmpty());
  EXPECT_EQ(code_of([&] { LogReader(folder / "gone", {}); }), Code::not_found);
}

TEST_F(LogFile, LongWritesBecomeSeveralEntries) {
  const std::string bytes(200'000, 'x');
  LogWriter(folder, {}).append(kOut, 1ns, bytes);
  EXPECT_EQ(texts().size(), 4u);
  EXPECT_EQ(text(), bytes);
}

TEST_F(LogFile, AReaderGetsEachEntryOnce) {
  LogWriter writer(folder, {});
  LogReader reader(folder, {});
  EXPECT_THAT(texts(reader), IsEmpty());
  writer.append(kOut, 1ns, "a");
  EXPECT_THAT(texts(reader), ElementsAre("a"));
  writer.append(kOut, 1ns, "b");
  writer.append(kOut, 1ns, "c");
  EXPECT_THAT(texts(reader), ElementsAre("b", "c"));
  EXPECT_THAT(texts(reader), IsEmpty());
}

TEST_F(LogFile, IsBoundedAndKeepsTheNewest) {
  LogWriter writer(folder, {.file_bytes = 4096, .files = 3});
  for (int i = 0; i < 1000; ++i) writer.append(kOut, 1ns, fmt::format("line {}\n", i));

  std::uintmax_t size = 0;
  std::vector<std::string> names;
  for (const auto& file : fs::directory_iterator(folder)) {
    size += file.file_size();
    names.push_back(file.path().filename());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("container.log", "container.log.1", "container.log.2"));
  EXPECT_LE(size, 3 * 4096u);
  const std::vector<std::string> left = texts();
  EXPECT_EQ(left.back(), "line 999\n");
  EXPECT_GT(left.size(), 300u);
  for (std::size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(left[i], fmt::format("line {}\n", 1000 - left.size() + i));
  }
}

TEST_F(LogFile, OneFileIsEnough) {
  LogWriter writer(folder, {.file_bytes = 1000, .files = 1});
  for (int i = 0; i < 100; ++i) writer.append(kOut, 1ns, fmt::format("line {}\n", i));
  EXPECT_FALSE(fs::exists(folder / "container.log.1"));
  EXPECT_EQ(texts().back(), "line 99\n");
}

TEST_F(LogFile, AReaderFollowsAcrossRotationAndReopening) {
  const LogLimits limits{.file_bytes = 1000, .files = 4};
  LogReader reader(folder, {});
  std::vector<std::string> got;
  std::vector<std::string> expected;
  for (int run = 0; run < 20; ++run) {
    LogWriter writer(folder, limits);
    // Fewer bytes per turn than the older files hold, so that nothing is gone before it is read.
    for (int i = 0; i < 50; ++i) {
      expected.push_back(fmt::format("run {} line {}\n", run, i));
      writer.append(i % 2 == 0 ? kOut : kErr, 1ns, expected.back());
    }
    for (std::string& part : texts(reader)) got.push_back(std::move(part));
  }
  EXPECT_EQ(got, expected);
}

TEST_F(LogFile, AReaderThatFallsFarBehindGoesOnWithTheOldestLeft) {
  LogWriter writer(folder, {.file_bytes = 1000, .files = 2});
  LogReader reader(folder, {});
  writer.append(kOut, 1ns, "first");
  EXPECT_THAT(texts(reader), ElementsAre("first"));
  for (int i = 0; i < 500; ++i) writer.append(kOut, 1ns, fmt::format("line {}\n", i));
  const std::vector<std::string> rest = texts(reader);
  EXPECT_EQ(rest.back(), "line 499\n");
}

TEST_F(LogFile, ReadsWhileAnotherThreadWritesAndRotates) {
  constexpr int kCount = 20'000;
  std::jthread writing([this] {
    LogWriter writer(folder, {.file_bytes = 16'384, .files = 20});
    for (int i = 0; i < kCount; ++i) writer.append(kOut, 1ns, fmt::format("{}\n", i));
  });
  LogReader reader(folder, {});
  int next = 0;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (next < kCount && std::chrono::steady_clock::now() < deadline) {
    reader.read([&](const LogEntry& entry) {
      const int number = std::stoi(entry.bytes);
      EXPECT_GE(number, next);
      next = number + 1;
    });
    if (next < kCount) reader.wait(1s);
  }
  EXPECT_EQ(next, kCount);
}

TEST_F(LogFile, WaitWakesUpForANewLogAnEntryAndARotation) {
  LogReader reader(folder, {});
  const auto woken = [&](auto action) {
    reader.wait(0ms);
    std::jthread acting(action);
    const auto before = std::chrono::steady_clock::now();
    std::vector<std::string> got;
    while (got.empty() && std::chrono::steady_clock::now() - before < 20s) {
      reader.wait(20s);
      got = texts(reader);
    }
    return got;
  };
  std::optional<LogWriter> writer;
  EXPECT_THAT(woken([&] {
                writer.emplace(folder, LogLimits{.file_bytes = 100, .files = 2});
                writer->append(kOut, 1ns, "new");
              }),
              ElementsAre("new"));
  EXPECT_THAT(woken([&] { writer->append(kOut, 1ns, "more"); }), ElementsAre("more"));
  EXPECT_THAT(woken([&] { writer->append(kOut, 1ns, std::string(90, 'r')); }),
              ElementsAre(std::string(90, 'r')));
  EXPECT_THAT(woken([&] { writer->append(kOut, 1ns, "after"); }), ElementsAre("after"));
}

TEST_F(LogFile, WaitTellsThatTheFolderIsGone) {
  make_directories(folder / "pod");
  LogReader reader(folder / "pod", {});
  EXPECT_TRUE(reader.wait(0ms));
  remove_tree(folder / "pod");
  EXPECT_FALSE(reader.wait(10s));
  EXPECT_FALSE(reader.wait(10s)) << "without waiting again";
}

TEST_F(LogFile, ATornLastEntryIsLeftAndThenWrittenOver) {
  LogWriter(folder, {}).append(kOut, 1ns, "whole\n");
  const auto whole = fs::file_size(current);
  LogWriter(folder, {}).append(kOut, 1ns, "torn\n");
  for (auto size = fs::file_size(current) - 1; size > whole; --size) {
    fs::resize_file(current, size);
    LogReader reader(folder, {});
    EXPECT_THAT(texts(reader), ElementsAre("whole\n")) << size;
  }
  fs::resize_file(current, fs::file_size(current) + 7);
  LogReader reader(folder, {});
  EXPECT_THAT(texts(reader), ElementsAre("whole\n"));
  LogWriter(folder, {}).append(kErr, 2ns, "next\n");
  EXPECT_THAT(texts(reader), ElementsAre("next\n"));
}

TEST_F(LogFile, ZerosLeftByAPowerCutEndTheLog) {
  LogWriter(folder, {}).append(kOut, 1ns, "whole\n");
  fs::resize_file(current, fs::file_size(current) + 5000);
  EXPECT_THAT(texts(), ElementsAre("whole\n"));
  LogWriter(folder, {}).append(kOut, 1ns, "next\n");
  EXPECT_THAT(texts(), ElementsAre("whole\n", "next\n"));
}

TEST_F(LogFile, AnEmptyFileLeftByAPowerCutIsReplaced) {
  open_file(current, O_CREAT | O_WRONLY);
  EXPECT_THAT(texts(), IsEmpty());
  LogWriter(folder, {}).append(kOut, 1ns, "x");
  EXPECT_THAT(texts(), ElementsAre("x"));
}

TEST_F(LogFile, ACrashInTheMiddleOfARotationLosesNothing) {
  LogWriter(folder, {}).append(kOut, 1ns, "old\n");
  fs::rename(current, folder / "container.log.1");
  LogReader reader(folder, {});
  EXPECT_THAT(texts(reader), ElementsAre("old\n"));
  LogWriter(folder, {}).append(kOut, 1ns, "new\n");
  EXPECT_THAT(texts(reader), ElementsAre("new\n"));
  EXPECT_THAT(texts(), ElementsAre("old\n", "new\n"));
}

TEST_F(LogFile, ForeignFilesAreRefused) {
  write_file_atomically(current, "{\"log\":\"a json log\\n\"}");
  EXPECT_EQ(code_of([&] { texts(); }), Code::corrupt);
  EXPECT_EQ(code_of([&] { LogWriter(folder, {}); }), Code::corrupt);

  std::string newer("berthlog\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 24);
  write_file_atomically(current, newer);
  EXPECT_EQ(code_of([&] { texts(); }), Code::unsupported);
}

TEST_F(LogFile, ADamagedEntryIsNamedWithItsPlaceAndWhatIsBeforeItIsGiven) {
  {
    LogWriter writer(folder, {});
    writer.append(kOut, 1ns, "good");
    writer.append(kOut, 1ns, "bad");
  }
  std::string content = read_file(current);
  content[24 + 20 + 12] = 3;
  write_file_atomically(current, content);
  LogReader reader(folder, {});
  std::vector<std::string> got;
  try {
    reader.read([&](const LogEntry& entry) { got.push_back(entry.bytes); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::corrupt);
    EXPECT_THAT(error.what(), HasSubstr("container.log at byte 44"));
  }
  EXPECT_THAT(got, ElementsAre("good"));
  LogWriter(folder, {}).append(kOut, 1ns, "again");
  EXPECT_THAT(texts(), ElementsAre("good", "again"));
}

TEST_F(LogFile, TailCountsLinesNotEntries) {
  LogWriter writer(folder, {});
  writer.append(kOut, 1ns, "one\ntwo\nthr");
  writer.append(kOut, 2ns, "ee\nfour\n");
  writer.append(kOut, 3ns, "five");
  EXPECT_EQ(text({.tail = 0}), "");
  EXPECT_EQ(text({.tail = 1}), "five");
  EXPECT_EQ(text({.tail = 2}), "four\nfive");
  EXPECT_EQ(text({.tail = 3}), "three\nfour\nfive");
  EXPECT_EQ(text({.tail = 5}), "one\ntwo\nthree\nfour\nfive");
  EXPECT_EQ(text({.tail = 1'000'000'000'000}), text());
}

TEST_F(LogFile, TailCountsTheLinesOfBothStreamsApart) {
  LogWriter writer(folder, {});
  writer.append(kOut, 1ns, "out ");
  writer.append(kErr, 1ns, "err ");
  writer.append(kOut, 1ns, "goes on\nlast out");
  writer.append(kErr, 1ns, "goes on\nlast err\n");
  EXPECT_THAT(texts({.tail = 2}), ElementsAre("last out", "last err\n"));
  EXPECT_THAT(texts({.tail = 3}), ElementsAre("err ", "last out", "goes on\nlast err\n"));
}

TEST_F(LogFile, TailReachesIntoOlderFilesAndThenFollows) {
  LogWriter writer(folder, {.file_bytes = 200, .files = 8});
  for (int i = 0; i < 30; ++i) writer.append(kOut, 1ns, fmt::format("{}\n", i));
  ASSERT_TRUE(fs::exists(folder / "container.log.2"));
  LogReader reader(folder, {.tail = 22});
  const std::vector<std::string> got = texts(reader);
  ASSERT_EQ(got.size(), 22u);
  EXPECT_EQ(got.front(), "8\n");
  for (int i = 30; i < 60; ++i) writer.append(kOut, 1ns, fmt::format("{}\n", i));
  EXPECT_EQ(texts(reader).size(), 30u);
}

TEST_F(LogFile, SinceAndUntilChooseByTimeAndTailCountsWhatIsLeft) {
  LogWriter writer(folder, {});
  for (int i = 1; i <= 5; ++i) writer.append(kOut, Nanoseconds(i), fmt::format("{}\n", i));
  EXPECT_EQ(text({.since = 3ns}), "3\n4\n5\n");
  EXPECT_EQ(text({.until = 3ns}), "1\n2\n3\n");
  EXPECT_EQ(text({.since = 2ns, .until = 4ns}), "2\n3\n4\n");
  EXPECT_EQ(text({.tail = 2, .until = 4ns}), "3\n4\n");
}

TEST_F(LogFile, AFullDiskDropsTheEntryAndNothingElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small tmpfs";
  const fs::path small = folder / "small";
  make_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "cannot mount a tmpfs";
  {
    LogWriter writer(small, {.file_bytes = 1u << 20, .files = 3});
    writer.append(kOut, 1ns, "before\n");
    write_file_atomically(small / "ballast", std::string(32'768, 'b'));
    EXPECT_EQ(code_of([&] { writer.append(kOut, 1ns, std::string(60'000, 'x')); }), Code::capacity);
    EXPECT_EQ(code_of([&] { writer.append(kOut, 1ns, std::string(200'000, 'x')); }), Code::capacity);
    fs::remove(small / "ballast");
    writer.append(kErr, 2ns, "after\n");
    LogReader reader(small, {});
    EXPECT_THAT(texts(reader), ElementsAre("before\n", "after\n"));
  }
  EXPECT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace berth::launcher
