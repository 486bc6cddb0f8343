// Copies into and out of containers: the guest's part.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "guest.hpp"
#include "link/archive.hpp"
#include "tar/test_archives.hpp"
#include "tar/unpack.hpp"

namespace berth::tether_test {
namespace {

namespace archive = link::archive;
namespace fs = std::filesystem;

/// What came of one copy.
struct Copied {
  int code = -1;
  std::string output;  ///< without the line of the stat
  std::string error;
  archive::PathStat stat;
};

Task<> read_to_end(link::ssh::Channel& channel, std::string& text, bool error_stream) {
  std::string buffer(64u << 10, '\0');
  while (const std::size_t n = co_await channel.read_some(buffer.data(), buffer.size(), error_stream))
    text.append(buffer.data(), n);
}

Task<Copied> copy(Guest& guest, archive::Order order, std::string input = {}) {
  link::ssh::Request request = archive::make_request(order);
  const auto channel = co_await guest.attach_port().open(std::move(request));
  try {
    if (order.verb == archive::Verb::write) co_await channel->write_all(input);
    co_await channel->send_end();
  } catch (const Error&) {
    // The guest has said already why it does not want more.
  }
  Copied copied;
  co_await read_to_end(*channel, copied.output, false);
  co_await read_to_end(*channel, copied.error, true);
  while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
  copied.code = channel->exit() ? channel->exit()->code : -1;
  const std::size_t line = copied.output.find('\n');
  if (line != std::string::npos) {
    copied.stat = archive::decode_path_stat(copied.output.substr(0, line));
    copied.output.erase(0, line + 1);
  }
  co_return copied;
}

archive::Order order(archive::Verb verb, std::string path, bool keep_owners = false) {
  return {verb, "main", std::move(path), keep_owners};
}

/// A container that runs, or one whose session was never started.
Task<std::unique_ptr<Guest>> boot(bool running, std::function<void(config::ExecutorConfig&)> adjust = {}) {
  const Guest::Options options;
  auto guest = co_await Guest::boot(options);
  config::SessionConfig main = make_session(shell(kIdle));
  main.active = running;
  guest->config.sessions["main"] = std::move(main);
  if (adjust) adjust(guest->config);
  co_await guest->push();
  if (running) co_await guest->wait_started("main");
  co_return guest;
}

/// What a tar stream holds, made in a folder of its own.
class Unpacked {
 public:
  explicit Unpacked(const std::string& bytes) {
    std::string_view left = bytes;
    const tar::Source source = [&left] { return std::exchange(left, {}); };
    tar::unpack(source, tar::ConfinedRoot(folder_.path()), {});
  }
  fs::path operator/(const std::string& path) const { return folder_.path() / path; }

 private:
  TempDir folder_{testing::TempDir(), "copied-"};
};

Task<std::string> output_of(Guest& guest, std::string id, std::string script) {
  const auto session = co_await guest.exec(id, shell(script));
  EXPECT_EQ(session.exit_status, 0) << script;
  co_await guest.wait_output(id, "end", [](const SessionOutput& output) { return output.ended; });
  co_return guest.output(id).standard_output;
}

Task<> g1_in_and_out(bool running) {
  auto guest = co_await boot(running);
  const std::string large(3'000'000, 'x');
  tar::TestEntry owned = tar::file("in/owned", "mine", 04750);
  owned.uid = 1000;
  owned.gid = 1001;
  owned.attributes["user.mark"] = "yes";
  const std::vector<tar::TestEntry> entries = {tar::folder("in", 0711),
                                               owned,
                                               tar::file("in/large", large),
                                               tar::symlink("in/link", "/etc/passwd"),
                                               tar::hard_link("in/twin", "in/owned"),
                                               tar::device("in/null", AE_IFCHR, 1, 3)};
  std::string bytes = tar::make_tar(entries);
  Copied copied = co_await copy(*guest, order(archive::Verb::write, "/tmp"), bytes);
  EXPECT_EQ(copied.code, 0) << copied.error;
  copied = co_await copy(*guest, order(archive::Verb::read, "/tmp/in"));
  EXPECT_EQ(copied.code, 0) << copied.error;
  EXPECT_EQ(copied.stat.mode, S_IFDIR | 0711u);
  const Unpacked tree(copied.output);
  EXPECT_EQ(read_file(tree / "in/owned"), "mine");
  EXPECT_EQ(read_file(tree / "in/large"), large);
  EXPECT_EQ(fs::read_symlink(tree / "in/link"), "/etc/passwd");
  EXPECT_EQ(fs::hard_link_count(tree / "in/twin"), 2u);
  struct stat status {};
  EXPECT_EQ(::stat((tree / "in/owned").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 04750u);
  if (::geteuid() == 0) {
    EXPECT_EQ(status.st_uid, 0u);
  }
  EXPECT_EQ(::lstat((tree / "in/null").c_str(), &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));

  copied = co_await copy(*guest, order(archive::Verb::write, "/tmp", true), bytes);
  EXPECT_EQ(copied.code, 0) << copied.error;
  copied = co_await copy(*guest, order(archive::Verb::read, "/tmp/in/."));
  const Unpacked content(copied.output);
  EXPECT_EQ(read_file(content / "owned"), "mine");
  EXPECT_EQ(::stat((content / "owned").c_str(), &status), 0);
  if (::geteuid() == 0) {
    EXPECT_EQ(status.st_uid, 1000u);
    EXPECT_EQ(status.st_gid, 1001u);
  }
  copied = co_await copy(*guest, order(archive::Verb::read, "/bin/busybox"));
  EXPECT_EQ(copied.code, 0) << copied.error;
  EXPECT_EQ(read_file(Unpacked(copied.output) / "busybox"), read_file("/bin/busybox"));

  copied = co_await copy(*guest, order(archive::Verb::stat, "/tmp/in/link"));
  EXPECT_TRUE(S_ISLNK(copied.stat.mode));
  EXPECT_EQ(copied.stat.link_target.data, "/etc/passwd");
  copied = co_await copy(*guest, order(archive::Verb::read, "/no/such"));
  EXPECT_EQ(copied.code, 1);
  EXPECT_TRUE(copied.error.starts_with("not-found\ncould not find the file /no/such")) << copied.error;
  copied = co_await copy(*guest, order(archive::Verb::write, "/no/such"), bytes);
  EXPECT_TRUE(copied.error.starts_with("not-found\n")) << copied.error;
  copied = co_await copy(*guest, order(archive::Verb::write, "/bin/busybox"), bytes);
  EXPECT_TRUE(copied.error.starts_with("invalid-argument\nextraction point is not a directory"))
      << copied.error;
  copied = co_await copy(*guest, order(archive::Verb::stat, "/bin/busybox/"));
  EXPECT_TRUE(copied.error.starts_with("invalid-argument\n")) << copied.error;
  archive::Order other = order(archive::Verb::stat, "/");
  other.container = "other";
  copied = co_await copy(*guest, other);
  EXPECT_TRUE(copied.error.starts_with("not-found\n")) << copied.error;
  if (running) {
    EXPECT_EQ(co_await output_of(*guest, "look", "stat -c '%a %u %g' /tmp/in/owned; cat /tmp/in/owned"),
              "4750 1000 1001\nmine");
  }
  co_await guest->power_off();
}

TEST(TetherVm, G1CopiesIntoAndOutOfARunningContainer) {
  run_on_loop([]() -> Task<> { co_await g1_in_and_out(true); });
}

TEST(TetherVm, G1CopiesIntoAndOutOfAContainerThatDoesNotRun) {
  run_on_loop([]() -> Task<> { co_await g1_in_and_out(false); });
}

TEST(TetherVm, G3ArchivesAndLinksStayInTheContainer) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot(true);
    const auto refused = [](Guest& to, std::vector<tar::TestEntry> entries) -> Task<> {
      std::string bytes = tar::make_tar(entries);
      const Copied copied = co_await copy(to, order(archive::Verb::write, "/tmp"), bytes);
      EXPECT_EQ(copied.code, 1);
      EXPECT_TRUE(copied.error.starts_with("corrupt\n")) << copied.error;
    };
    std::vector<tar::TestEntry> up{tar::file("../../etc/x", "1")};
    co_await refused(*guest, std::move(up));
    std::vector<tar::TestEntry> through{tar::symlink("l", "/"), tar::file("l/etc/x", "1")};
    co_await refused(*guest, std::move(through));
    std::vector<tar::TestEntry> linked{tar::hard_link("h", "../../proc/1/environ")};
    co_await refused(*guest, std::move(linked));
    // Links that the container made lead around in it, not in the machine.
    EXPECT_EQ(co_await output_of(*guest, "make",
                                 "ln -s / /tmp/root; ln -s ../../../../../../.. /tmp/up; ln -s "
                                 "/proc/1/root /tmp/magic; mkdir -p /run/berth; ls /run/berth"),
              "");
    std::string bytes = tar::make_tar({tar::file("planted", "1")});
    for (const char* folder : {"/tmp/root/run", "/tmp/up/run/berth"}) {
      const Copied copied = co_await copy(*guest, order(archive::Verb::write, folder), bytes);
      EXPECT_EQ(copied.code, 0) << copied.error;
    }
    EXPECT_EQ(co_await output_of(*guest, "look", "cat /run/planted /run/berth/planted"), "11");
    // Of the tether's own files there is nothing.
    const Copied state = co_await copy(*guest, order(archive::Verb::read, "/tmp/root/run/berth/."));
    EXPECT_EQ(state.code, 0) << state.error;
    const Unpacked tree(state.output);
    EXPECT_TRUE(fs::exists(tree / "planted"));
    EXPECT_FALSE(fs::exists(tree / "scratch"));
    const Copied magic = co_await copy(*guest, order(archive::Verb::read, "/tmp/magic/run/."));
    EXPECT_EQ(magic.code, 1);
    const Copied kernel = co_await copy(*guest, order(archive::Verb::read, "/proc/."));
    EXPECT_TRUE(kernel.error.starts_with("unsupported\n")) << kernel.error;
    co_await guest->power_off();
  });
}

TEST(TetherVm, CopiesSeeWhatTheContainerSees) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot(true, [](config::ExecutorConfig& config) {
      config::MountSpec temporary;
      temporary.source.scheme = "tmpfs";
      temporary.path = "/mnt/temporary";
      temporary.mode = "size=1m";
      config.mounts["t1"] = temporary;
      config.sessions["main"].read_only_root = true;
    });
    std::string bytes = tar::make_tar({tar::file("x", "1")});
    Copied copied = co_await copy(*guest, order(archive::Verb::write, "/mnt/temporary"), bytes);
    EXPECT_EQ(copied.code, 0) << copied.error;
    EXPECT_EQ(co_await output_of(*guest, "look", "cat /mnt/temporary/x; echo own > /dev/shm/y"), "1");
    copied = co_await copy(*guest, order(archive::Verb::read, "/dev/shm/y"));
    EXPECT_EQ(read_file(Unpacked(copied.output) / "y"), "own\n");
    copied = co_await copy(*guest, order(archive::Verb::write, "/tmp"), bytes);
    EXPECT_TRUE(copied.error.starts_with("wrong-state\n")) << copied.error;
    EXPECT_NE(copied.error.find("read-only"), std::string::npos) << copied.error;
    // The tmpfs has not room for everything.
    bytes = tar::make_tar({tar::file("large", std::string(2u << 20, 'x'))});
    copied = co_await copy(*guest, order(archive::Verb::write, "/mnt/temporary"), bytes);
    EXPECT_TRUE(copied.error.starts_with("capacity\n")) << copied.error;
    co_await guest->power_off();
  });
}

TEST(TetherVm, AReadOnlyRootIsSoBeforeItsContainerRuns) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot(
        false, [](config::ExecutorConfig& config) { config.sessions["main"].read_only_root = true; });
    std::string bytes = tar::make_tar({tar::file("x", "1")});
    Copied copied = co_await copy(*guest, order(archive::Verb::write, "/tmp"), bytes);
    EXPECT_TRUE(copied.error.starts_with("wrong-state\n")) << copied.error;
    copied = co_await copy(*guest, order(archive::Verb::read, "/bin/sh"));
    EXPECT_EQ(copied.code, 0) << copied.error;
    co_await guest->power_off();
  });
}

TEST(TetherVm, G5CopiesAtOnceStayWhole) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot(true);
    constexpr int kCopies = 6;
    const auto executor = co_await asio::this_coro::executor;
    Event changed(executor);
    int done = 0;
    const auto round = [&](int number) -> Task<> {
      const std::string name = "f" + std::to_string(number);
      const std::string content(1'000'000 + static_cast<std::size_t>(number),
                                static_cast<char>('a' + number));
      std::string bytes = tar::make_tar({tar::file(name, content)});
      const Copied in = co_await copy(*guest, order(archive::Verb::write, "/tmp"), bytes);
      EXPECT_EQ(in.code, 0) << in.error;
      const Copied out = co_await copy(*guest, order(archive::Verb::read, "/tmp/" + name));
      EXPECT_EQ(out.code, 0) << out.error;
      EXPECT_EQ(read_file(Unpacked(out.output) / name), content);
      ++done;
      changed.notify_all();
    };
    for (int number = 0; number < kCopies; ++number) spawn_detached(executor, "copy", round(number));
    while (done < kCopies) {
      if (!co_await changed.wait_for(kLimit)) throw Error(Code::timeout, "{} of {} copies", done, kCopies);
    }
    co_await guest->power_off();
  });
}

TEST(TetherVm, AClientThatGoesTakesItsCopyAlone) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot(true);
    const std::string bytes =
        tar::make_tar({tar::file("whole", "1"), tar::file("cut", std::string(4u << 20, 'x'))});
    link::ssh::Request request = archive::make_request(order(archive::Verb::write, "/tmp"));
    auto channel = co_await guest->attach_port().open(std::move(request));
    co_await channel->write_all(std::string_view(bytes).substr(0, 50'000));
    Copied copied;
    const auto deadline = std::chrono::steady_clock::now() + kLimit;
    while (copied.code != 0 && std::chrono::steady_clock::now() < deadline)
      copied = co_await copy(*guest, order(archive::Verb::stat, "/tmp/cut"));
    EXPECT_EQ(copied.code, 0) << copied.error;
    co_await channel->close();
    // And one that never reads.
    request = archive::make_request(order(archive::Verb::read, "/bin/busybox"));
    auto silent = co_await guest->attach_port().open(std::move(request));
    copied = co_await copy(*guest, order(archive::Verb::read, "/bin/busybox"));
    EXPECT_EQ(copied.code, 0) << copied.error;
    co_await silent->close();
    copied = co_await copy(*guest, order(archive::Verb::stat, "/tmp/whole"));
    EXPECT_EQ(copied.stat.size, 1) << copied.error;
    const auto end = co_await guest->power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off) << end.describe();
    const std::string console = guest->machine().console_tail();
    EXPECT_EQ(console.find("unmount"), std::string::npos) << console;
  });
}

}  // namespace
}  // namespace berth::tether_test
