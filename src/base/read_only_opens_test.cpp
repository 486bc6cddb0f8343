#include "base/read_only_opens.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/async.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth {
namespace {

constexpr Milliseconds kLimit{20'000};
constexpr int kNumber = 9;
constexpr uid_t kNobody = 65534;

/// Says "read 9" or "write 9" for an open that worked, by the kind of descriptor, or the error.
constexpr std::string_view kPrelude = R"(
use Fcntl;
sub told {
  my ($fd) = @_;
  return print "$!\n" if $fd < 0;
  open(my $file, '+<&=', $fd) or open($file, '<&=', $fd);
  my $mode = fcntl($file, F_GETFL, 0) & O_ACCMODE;
  print $mode == O_RDONLY ? "read" : "write", defined(syswrite($file, "!")) ? " and written\n" : "\n";
}
sub openat { my ($path, $flags) = @_; return syscall(257, -100, $path, $flags); }
$| = 1;
)";

class ReadOnlyOpensTest : public testing::Test {
 protected:
  ReadOnlyOpensTest() {
    write_file_atomically(file, "template", 0400);
    reader = open_file(file, O_RDONLY);
    std::tie(output_read, output_write) = make_pipe();
  }

  ProcessSpec perl(std::string_view script) {
    ProcessSpec spec;
    spec.program = "perl";
    spec.arguments = {"-e", fmt::format("{}{}", kPrelude, script)};
    spec.standard_output = output_write.get();
    spec.descriptors = {{reader.get(), kNumber}};
    spec.opened_read_only = {kNumber};
    spec.no_new_privileges = true;
    return spec;
  }

  /// What it printed until it and all its children had ended.
  std::string answer_all(const ProcessSpec& spec) {
    Process child = Process::spawn(spec);
    output_write.reset();
    std::exception_ptr failure;
    bool ended = false;
    asio::co_spawn(loop, answer_opens(child.take_read_only_opens()), [&](std::exception_ptr thrown) {
      failure = thrown;
      ended = true;
    });
    // Older kernels count a child until it has been waited for.
    spawn_detached(loop.get_executor(), "reap",
                   [](Process& waited) -> Task<> { co_await wait_exit(waited); }(child));
    loop.run_for(kLimit);
    EXPECT_TRUE(ended);
    if (failure) std::rethrow_exception(failure);
    return read_all(output_read.get());
  }

  TempDir folder{std::filesystem::temp_directory_path(), "read-only-opens-"};
  std::filesystem::path file = folder.path() / "memory";
  UniqueFd reader;
  UniqueFd output_read;
  UniqueFd output_write;
  asio::io_context loop;
};

void wait_for_open(const ReadOnlyOpens& opens) {
  pollfd ready{opens.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&ready, 1, static_cast<int>(kLimit.count())), 1);
  ASSERT_EQ(ready.revents, POLLIN);
}

TEST_F(ReadOnlyOpensTest, BothOpensGiveADescriptorThatOnlyReads) {
  const std::string output = answer_all(perl(R"(
    my $path = "/proc/self/fd/9";
    told(openat($path, O_RDWR));
    told(syscall(2, $path, O_RDWR));
    open(my $file, '<&=', openat($path, O_RDWR));
    print <$file>, "\n";
  )"));
  EXPECT_EQ(output, "read\nread\ntemplate\n");
  EXPECT_EQ(read_file(file), "template");
}

TEST_F(ReadOnlyOpensTest, OtherOpensGoOnAsTheyWould) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may write a file of mode 0400";
  write_file_atomically(folder.path() / "other", "");
  ProcessSpec spec = perl(fmt::format(R"(
    my $other = "{0}/other"; told(openat($other, O_RDWR));
    my $missing = "{0}/missing"; told(openat($missing, O_RDWR));
    my $not_given = "/proc/self/fd/8"; told(openat($not_given, O_RDWR));
    my $path = "/proc/self/fd/9"; told(openat($path, O_RDWR | 02000000));
    my $long = "/proc/self/fd/9" . "/" x 5000; told(openat($long, O_RDWR));
    told(syscall(257, -100, 1, O_RDWR));
  )",
                                      folder.path().string()));
  write_file_atomically(folder.path() / "eight", "");
  const UniqueFd eight = open_file(folder.path() / "eight", O_RDONLY);
  spec.descriptors.emplace_back(eight.get(), 8);
  EXPECT_EQ(answer_all(spec),
            "write and written\nNo such file or directory\nwrite and written\nwrite and written\n"
            "File name too long\nBad address\n");
}

TEST_F(ReadOnlyOpensTest, AnotherUserOpensWhatItCannotWrite) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ProcessSpec spec = perl(R"(
    my $path = "/proc/self/fd/9";
    told(openat($path, O_RDWR | 02000000));
    told(openat($path, O_RDWR));
  )");
  spec.credentials = Credentials{kNobody, kNobody, {}, {}};
  EXPECT_EQ(answer_all(spec), "Permission denied\nread\n");
}

TEST_F(ReadOnlyOpensTest, AChildOfTheChildIsAnsweredToo) {
  EXPECT_EQ(answer_all(perl(R"(
    my $parent = $$;
    exit 0 if fork;
    select(undef, undef, undef, 0.01) while getppid() == $parent;
    my $path = "/proc/self/fd/9";
    told(openat($path, O_RDWR)) for 1 .. 3;
  )")),
            "read\nread\nread\n");
}

TEST_F(ReadOnlyOpensTest, WhatIsOpenedTakesThePlaceOfTheGivenOneAndHasNoHolesMade) {
  write_file_atomically(folder.path() / "other", "template");
  EXPECT_EQ(answer_all(perl(fmt::format(R"(
    my $path = "/proc/self/fd/9";
    print openat($path, O_RDWR), "\n" for 1 .. 2;
    my $punch_and_keep = 3;
    print syscall(285, 9, $punch_and_keep, 0, 4096), "\n";
    my $other = "{}/other"; my $fd = openat($other, O_RDWR);
    print syscall(285, $fd, $punch_and_keep, 0, 4096), "\n";
    print syscall(285, 99, $punch_and_keep, 0, 4096), "\n";
  )",
                                        folder.path().string()))),
            "9\n9\n0\n0\n-1\n");
  EXPECT_EQ(read_file(file), "template");
  EXPECT_EQ(read_file(folder.path() / "other"), std::string(8, '\0'));
}

TEST_F(ReadOnlyOpensTest, AChildThatIsKilledInAnOpenIsTheEnd) {
  Process child = Process::spawn(perl(R"(my $path = "/proc/self/fd/9"; openat($path, O_RDWR);)"));
  ReadOnlyOpens opens = child.take_read_only_opens();
  wait_for_open(opens);
  child.signal(SIGKILL);
  EXPECT_EQ(child.wait().signal, SIGKILL);
  EXPECT_FALSE(opens.answer());
}

TEST_F(ReadOnlyOpensTest, WithoutAnAnswererOpensFail) {
  Process child = Process::spawn(perl(R"(
    my $path = "/proc/self/fd/9";
    told(openat($path, O_RDWR));
    told(openat($path, O_RDWR));
  )"));
  output_write.reset();
  {
    const ReadOnlyOpens opens = child.take_read_only_opens();
    wait_for_open(opens);
  }
  EXPECT_TRUE(child.wait().success());
  EXPECT_EQ(read_all(output_read.get()), "Function not implemented\nFunction not implemented\n");
}

TEST_F(ReadOnlyOpensTest, AnAnswererThatIsGivenUpLeavesTheChild) {
  Process child = Process::spawn(perl("sleep 1000;"));
  bool timed_out = false;
  const auto answer = [&]() -> Task<> {
    try {
      co_await with_deadline(Milliseconds(10), "answer", answer_opens(child.take_read_only_opens()));
    } catch (const Error& error) {
      timed_out = error.code() == Code::timeout;
    }
  };
  asio::co_spawn(loop, answer(), asio::detached);
  loop.run_for(kLimit);
  EXPECT_TRUE(timed_out);
  EXPECT_FALSE(child.try_wait());
}

TEST_F(ReadOnlyOpensTest, TheyAreTakenOnce) {
  Process child = Process::spawn(perl("sleep 1000;"));
  Process moved = std::move(child);
  child = std::move(moved);
  { const ReadOnlyOpens opens = child.take_read_only_opens(); }
  expect_error(Code::wrong_state, "no read-only opens", [&] { child.take_read_only_opens(); });
}

TEST_F(ReadOnlyOpensTest, AMissingProgramIsStillNotFound) {
  ProcessSpec spec = perl("");
  spec.program = file;
  expect_error(Code::not_found, "no such program", [&] { Process::spawn(spec); });
  spec.program = "/etc/passwd";
  EXPECT_THROW(Process::spawn(spec), Error);
}

TEST_F(ReadOnlyOpensTest, ASpecThatCannotBeAnsweredIsRefused) {
  ProcessSpec spec = perl("");
  expect_error(Code::invalid_argument, "nobody answers", [&] { run(spec, kLimit); });
  spec.no_new_privileges = false;
  expect_error(Code::invalid_argument, "privileges", [&] { Process::spawn(spec); });
  spec.no_new_privileges = true;
  spec.opened_read_only = {kNumber + 1};
  expect_error(Code::invalid_argument, "not given", [&] { Process::spawn(spec); });
  spec.opened_read_only = {kNumber};
  spec.descriptors = {{output_write.get(), kNumber}};
  expect_error(Code::invalid_argument, "can be written", [&] { Process::spawn(spec); });
}

/// A process has one filter at most that somebody answers, also if it came with the container around us.
void spawn_below_a_filter(const ProcessSpec& spec) {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const UniqueFd notifications(install_open_filter({}));
  expect_error(Code::unsupported, "this host cannot", [&] { Process::spawn(spec); });
  ::_exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST_F(ReadOnlyOpensTest, AHostThatCannotIsToldFromAFailure) {
  EXPECT_EXIT(spawn_below_a_filter(perl("")), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace berth
