#include "base/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth {
namespace {

constexpr std::chrono::milliseconds kLimit{20'000};

ProcessSpec shell(const std::string& script) {
  ProcessSpec spec;
  spec.program = "sh";
  spec.arguments = {"-c", script};
  return spec;
}

TEST(Process, RunCapturesBothOutputsAndTheExit) {
  const RunResult result = run(shell("cat; echo wrong >&2; exit 3"), kLimit, "input");
  EXPECT_EQ(result.output, "input");
  EXPECT_EQ(result.error_output, "wrong\n");
  EXPECT_EQ(result.status.code, 3);
  EXPECT_EQ(result.status.describe(), "exited with 3");
}

TEST(Process, ASignalIsTold) {
  const ExitStatus status = run(shell("kill -KILL $$"), kLimit).status;
  EXPECT_EQ(status.signal, SIGKILL);
  EXPECT_EQ(status.shell_code(), 137);
}

TEST(Process, AMissingProgramIsNotAnExit) {
  ProcessSpec spec;
  spec.program = "no-such-program-anywhere";
  EXPECT_THROW(Process::spawn(spec), Error);
  spec.program = "/etc/passwd";
  EXPECT_THROW(Process::spawn(spec), Error);
}

TEST(Process, TimeIsBounded) {
  try {
    run(shell("sleep 1000"), std::chrono::milliseconds(50));
    FAIL() << "it ended";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::timeout);
  }
}

TEST(Process, AGrandchildWithThePipesDoesNotHoldUpTheRun) {
  const RunResult result = run(shell("sleep 1000 & echo $!; exit 0"), kLimit);
  ::kill(std::stoi(result.output), SIGKILL);
  EXPECT_EQ(result.status.code, 0);
}

TEST(Process, AChildThatDoesNotReadItsInputIsFine) {
  EXPECT_EQ(run(shell("exit 4"), kLimit, std::string(1 << 20, 'x')).status.code, 4);
}

TEST(Process, OnlyTheGivenDescriptorsAreInherited) {
  auto [reader, writer] = make_pipe();
  const UniqueFd leaked(::open("/dev/null", O_RDONLY));  // not close-on-exec
  ProcessSpec spec = shell("ls /proc/self/fd | wc -l; echo seven >&7");
  spec.descriptors = {{writer.get(), 7}};
  const RunResult result = run(spec, kLimit);
  writer.reset();
  EXPECT_EQ(read_all(reader.get()), "seven\n");
  EXPECT_EQ(result.output, "5\n");  // 0, 1, 2, 7 and the folder that ls has open
}

TEST(Process, DescriptorsMayTradePlaces) {
  auto [first_read, first_write] = make_pipe();
  auto [second_read, second_write] = make_pipe();
  ProcessSpec spec = shell("");
  const int a = first_write.get();
  const int b = second_write.get();
  spec.arguments = {"-c", fmt::format("echo a >&{}; echo b >&{}", b, a)};
  spec.descriptors = {{a, b}, {b, a}};
  EXPECT_TRUE(run(spec, kLimit).status.success() || b > 9);  // sh knows descriptors of one digit only
  first_write.reset();
  second_write.reset();
  if (a < 10 && b < 10) {
    EXPECT_EQ(read_all(first_read.get()), "a\n");
    EXPECT_EQ(read_all(second_read.get()), "b\n");
  }
}

TEST(Process, RootCanGiveUpItsRights) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ProcessSpec spec = shell("id -u; grep -E 'CapAmb|NoNewPrivs' /proc/self/status; test ! -r /etc/shadow");
  Credentials credentials;
  credentials.uid = credentials.gid = 65534;
  credentials.ambient_capabilities = {10};  // CAP_NET_BIND_SERVICE
  spec.credentials = credentials;
  spec.no_new_privileges = true;
  const RunResult result = run(spec, kLimit);
  EXPECT_TRUE(result.status.success());
  EXPECT_EQ(result.output, "65534\nCapAmb:\t0000000000000400\nNoNewPrivs:\t1\n");
}

TEST(Process, ADestroyedChildIsKilledAndReaped) {
  pid_t pid = 0;
  {
    const Process child = Process::spawn(shell("sleep 1000"));
    pid = child.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
}

}  // namespace
}  // namespace berth
