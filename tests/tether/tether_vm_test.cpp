// The tether as it is, PID 1 of a machine under software emulation, with the test in the place of the
// launcher.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.hpp"
#include "base/process.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"

namespace berth::tether_test {
namespace {

/// g++ 12 cannot make an initializer list of strings within a coroutine.
template <typename... Words>
std::vector<std::string> command(Words... words) {
  return {std::string(words)...};
}

Task<std::unique_ptr<Guest>> boot_with_main(std::vector<std::string> words, const Guest::Options& options) {
  auto guest = co_await Guest::boot(options);
  guest->config.sessions["main"] = make_session(std::move(words));
  co_return guest;
}

Task<std::unique_ptr<Guest>> boot_with_main(std::vector<std::string> words) {
  const Guest::Options options;
  co_return co_await boot_with_main(std::move(words), options);
}

config::NetworkEndpoint user_endpoint() {
  config::NetworkEndpoint endpoint;
  endpoint.common.id = "52:54:00:12:34:56";
  endpoint.is_static = true;
  endpoint.ip = config::IpNetwork::parse("10.0.2.15/24");
  endpoint.network.common.name = "user";
  endpoint.network.gateway = config::IpNetwork::parse("10.0.2.2/24");
  endpoint.network.is_default = true;
  endpoint.network.nameservers = {config::IpAddress::parse("10.0.2.3")};
  return endpoint;
}

TEST(TetherVm, RunsAMainSessionToItsEndAndPowersOff) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell("echo out; echo err >&2; exit 7"));
    EXPECT_EQ(guest->hello().version, link::kLinkVersion);
    EXPECT_GT(guest->hello().uptime_nanoseconds, 0);
    co_await guest->push();
    co_await guest->wait_ended("main");
    const auto& session = guest->session("main");
    EXPECT_EQ(session.started, "true");
    EXPECT_EQ(session.exit_status, 7);
    EXPECT_EQ(session.signal, 0);
    EXPECT_GT(session.detail.start_time, 1'700'000'000);
    EXPECT_GE(session.detail.stop_time, session.detail.start_time);
    // The end was written to the output port before it was reported, but the two ports do not wait for each
    // other.
    co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(guest->output("main").standard_output, "out\n");
    EXPECT_EQ(guest->output("main").standard_error, "err\n");
    const auto end = co_await guest->power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off) << end.describe();
  });
}

TEST(TetherVm, RunsExecsAndSaysWhyOneCannotRun) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell(kIdle));
    guest->config.hostname = "pod";
    co_await guest->push();
    co_await guest->wait_started("main");
    EXPECT_EQ(guest->session("main").started, "true");

    auto session = co_await guest->exec("fails", shell("exit 3"));
    EXPECT_EQ(session.exit_status, 3);
    session = co_await guest->exec("dies", shell("kill -SEGV $$"));
    EXPECT_EQ(session.signal, 11);
    session = co_await guest->exec("missing", command("notthere"));
    EXPECT_EQ(session.started, "not-found: exec: \"notthere\": executable file not found in $PATH");
    session = co_await guest->exec("missing-file", command("/not/there"));
    EXPECT_EQ(session.started, "not-found: exec: \"/not/there\": stat /not/there: No such file or directory");
    session = co_await guest->exec("text", command("/etc/not-executable"));
    EXPECT_EQ(session.started, "not-executable: exec: \"/etc/not-executable\": Permission denied");
    session = co_await guest->exec("script", command("/etc/no-interpreter"));
    EXPECT_EQ(session.started, "not-found: exec /etc/no-interpreter: No such file or directory");
    session = co_await guest->exec("ghost", command("true"), [](auto& exec) { exec.user = "ghost"; });
    EXPECT_EQ(session.started,
              "invalid-argument: unable to find user ghost: no matching entries in passwd file");
    session = co_await guest->exec("blocked-ghost", command("true"), [](auto& exec) {
      exec.user = "ghost";
      exec.run_block = true;
    });
    EXPECT_TRUE(session.started.starts_with("invalid-argument: ")) << session.started;

    co_await guest->exec("user",
                         shell("id; pwd; echo $HOME $A $HOSTNAME; hostname; grep Cap /proc/self/status"),
                         [](auto& exec) {
                           exec.user = "user";
                           exec.cmd.env.emplace_back("A=1");
                           exec.cmd.dir = "/tmp";
                         });
    co_await guest->wait_output("user", "end", [](const SessionOutput& output) { return output.ended; });
    const std::string text = guest->output("user").standard_output;
    EXPECT_NE(text.find("uid=1000(user) gid=1000(user) groups=50(staff)"), std::string::npos) << text;
    EXPECT_NE(text.find("\n/tmp\n/home/user 1 pod\npod\n"), std::string::npos) << text;
    EXPECT_NE(text.find("CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"), std::string::npos) << text;
    co_await guest->power_off();
  });
}

TEST(TetherVm, ConfinesAContainerAsDockerDoes) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(command(
        "sh", "-c",
        "echo pid $$; grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; cat /proc/keys | wc "
        "-c;"
        "echo 1 > /proc/sys/kernel/panic; mkdir /sys/x; mkdir /sys/fs/cgroup/x; mount -t tmpfs x /tmp;"
        "unshare -U true; ls /dev; cat /proc/self/cgroup; cat /proc/1/oom_score_adj; ulimit -n; ls /run;"
        "mount | grep -c berth"));
    co_await guest->push();
    co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    const std::string text = guest->output("main").standard_output;
    EXPECT_NE(text.find("pid 1\nCapEff:\t00000000a80425fb\nSeccomp:\t2\n0\n"), std::string::npos) << text;
    EXPECT_NE(text.find("core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nur"
                        "andom\nzero\n"
                        "0::/\n0\n1048576\n"),
              std::string::npos)
        << text;
    const std::string errors = guest->output("main").standard_error;
    EXPECT_NE(errors.find("kernel/panic: Read-only file system"), std::string::npos) << errors;
    EXPECT_NE(errors.find("'/sys/x': Read-only file system"), std::string::npos) << errors;
    EXPECT_NE(errors.find("'/sys/fs/cgroup/x': Read-only file system"), std::string::npos) << errors;
    EXPECT_NE(errors.find("mount: "), std::string::npos) << errors;
    EXPECT_NE(errors.find("unshare: "), std::string::npos) << errors;
    co_await guest->power_off();
  });
}

TEST(TetherVm, OpensOnlyDockersDevicesAndReportsTheOomKiller) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell(kIdle));
    co_await guest->push();
    co_await guest->wait_started("main");
    co_await guest->exec("devices",
                         shell("mknod /dev/disk b 254 0; head -c 1 /dev/disk; mknod /dev/mem c 1 1;"
                               "head -c 1 /dev/mem; head -c 1 /dev/zero | wc -c; echo x > /dev/null;"
                               "head -c 4 /dev/urandom | wc -c"));
    co_await guest->wait_output("devices", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(guest->output("devices").standard_output, "1\n4\n");
    EXPECT_EQ(guest->output("devices").standard_error,
              "head: /dev/disk: Operation not permitted\nhead: /dev/mem: Operation not permitted\n");

    // Together more than the machine has, each less, so that neither is refused.
    auto session = co_await guest->exec(
        "ballast", command("dd", "if=/dev/zero", "of=/dev/shm/ballast", "bs=1M", "count=60"));
    EXPECT_EQ(session.exit_status, 0);
    session =
        co_await guest->exec("greedy", command("dd", "if=/dev/zero", "of=/dev/null", "bs=180M", "count=1"));
    EXPECT_EQ(session.signal, 9);
    EXPECT_TRUE(session.oom_killed);
    session = co_await guest->exec("after", command("true"));
    EXPECT_EQ(session.started, "true");
    EXPECT_FALSE(session.oom_killed);
    co_await guest->power_off();
  });
}

TEST(TetherVm, CancelsASessionThatWaitsForItsAttach) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell(kIdle));
    guest->config.sessions["main"].run_block = true;
    co_await guest->push();
    link::Order order;
    order.verb = link::verb::signal;
    order.session = "main";
    order.signal = 15;
    co_await guest->order(order);
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").started, "wrong-state: cancelled before the start");
    co_await guest->power_off();
  });
}

TEST(TetherVm, AttachesInputToAMainSession) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(command("cat"));
    guest->config.sessions["main"].open_stdin = true;
    guest->config.sessions["main"].run_block = true;
    co_await guest->push();
    const auto channel = co_await guest->attach("main", "stdin");
    co_await channel->write_all("to cat\n");
    co_await guest->wait_output(
        "main", "echo", [](const SessionOutput& output) { return output.standard_output == "to cat\n"; });
    EXPECT_EQ(guest->session("main").started, "true");
    co_await channel->close_input();
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").exit_status, 0);
    co_await guest->power_off();
  });
}

TEST(TetherVm, TakesUpTheAttachPortAgainAfterItsConnectionBroke) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(command("cat"));
    guest->config.sessions["main"].open_stdin = true;
    co_await guest->push();
    const auto has_seen = [](std::string text) {
      return [text](const SessionOutput& output) { return output.standard_output == text; };
    };
    const auto first = co_await guest->attach("main", "stdin");
    co_await first->write_all("one\n");
    co_await guest->wait_output("main", "first line", has_seen("one\n"));

    // Leaves bytes under way in both directions.
    const auto unread = co_await guest->exec_attached("flood", command("cat", "/dev/zero"));
    co_await unread->write_all(std::string(64 << 10, 'x'));
    guest->attach_port().drop_connection();

    for (const char* line : {"two\n", "three\n"}) {
      const auto again = co_await guest->attach("main", "stdin");
      co_await again->write_all(line);
      co_await guest->wait_output("main", line, [line](const SessionOutput& output) {
        return output.standard_output.ends_with(line);
      });
      guest->attach_port().drop_connection();
    }
    EXPECT_EQ(guest->output("main").standard_output, "one\ntwo\nthree\n");
    co_await guest->power_off();
  });
}

TEST(TetherVm, RunsExecsOverSsh) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell(kIdle));
    co_await guest->push();
    co_await guest->wait_started("main");
    const auto add = [&guest](const std::string& id, std::vector<std::string> words, bool tty) -> Task<> {
      config::SessionConfig session = make_session(std::move(words));
      session.common.id = id;
      session.container = "main";
      session.run_block = true;
      session.open_stdin = true;
      session.tty = tty;
      session.window_columns = tty ? 100 : 0;
      session.window_rows = tty ? 40 : 0;
      guest->config.execs[id] = std::move(session);
      co_await guest->push();
    };
    const auto read_all = [](link::ssh::Channel& channel, bool error_stream) -> Task<std::string> {
      std::string text;
      std::string buffer(32 << 10, '\0');
      while (const std::size_t n = co_await channel.read_some(buffer.data(), buffer.size(), error_stream)) {
        text.append(buffer, 0, n);
      }
      co_return text;
    };

    co_await add("streams", shell("cat; echo err >&2; exit 5"), false);
    auto channel = co_await guest->attach("streams", "stdin,stdout,stderr");
    co_await channel->write_all("hello\n");
    co_await channel->close_input();
    EXPECT_EQ(co_await read_all(*channel, false), "hello\n");
    EXPECT_EQ(co_await read_all(*channel, true), "err\n");
    while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
    EXPECT_TRUE(channel->exit().has_value());
    if (channel->exit()) {
      EXPECT_EQ(channel->exit()->code, 5);
    }

    // A process that does not read its input holds up nobody but its own channel.
    co_await add("deaf", command("sleep", "100000"), false);
    auto deaf = co_await guest->attach("deaf", "stdin,stdout,stderr");
    const std::string much(70'000, 'x');
    co_await deaf->write_all(much);
    const auto session = co_await guest->exec("meanwhile", command("true"));
    EXPECT_EQ(session.exit_status, 0);
    link::Order kill;
    kill.verb = link::verb::signal;
    kill.session = "deaf";
    kill.signal = 9;
    co_await guest->order(kill);
    while (!deaf->exit() && !deaf->closed()) co_await deaf->wait_change();
    EXPECT_TRUE(deaf->exit().has_value());
    if (deaf->exit()) {
      EXPECT_EQ(deaf->exit()->signal, "KILL");
    }

    co_await add("tty", shell("tty; stty size; read line; echo got $line; stty size; cat"), true);
    auto terminal = co_await guest->attach("tty", "stdin,stdout,stderr");
    std::string text;
    std::string buffer(4096, '\0');
    const auto read_until = [&](std::string wanted) -> Task<> {
      while (text.find(wanted) == std::string::npos) {
        const std::size_t n = co_await terminal->read_some(buffer.data(), buffer.size());
        if (n == 0) throw Error(Code::unavailable, "no \"{}\" in \"{}\"", wanted, text);
        text.append(buffer, 0, n);
      }
    };
    co_await read_until("/dev/pts/0\r\n40 100\r\n");
    co_await terminal->send_window_change(120, 50);
    co_await terminal->write_all("word\n");
    co_await read_until("got word\r\n50 120\r\n");
    co_await terminal->close_input();
    while (!terminal->exit() && !terminal->closed()) co_await terminal->wait_change();
    EXPECT_TRUE(terminal->exit().has_value());
    if (terminal->exit()) {
      EXPECT_EQ(terminal->exit()->code, 0);
    }

    co_await add("much", shell("dd if=/dev/zero bs=65536 count=64 2>/dev/null"), false);
    channel = co_await guest->attach("much", "stdin,stdout,stderr");
    const std::string zeros = co_await read_all(*channel, false);
    EXPECT_EQ(zeros.size(), 64u * 65536);
    co_await guest->power_off();
  });
}

TEST(TetherVm, OutputIsCompleteAndAHeldSessionBlocksNobodyElse) {
  run_on_loop([]() -> Task<> {
    auto guest = co_await boot_with_main(shell("yes 0123456789abcde | head -c 4194304; sleep 100000"));
    guest->config.sessions["main"].active = false;
    co_await guest->push();
    link::Order order;
    order.session = "main";
    order.verb = link::verb::start;
    co_await guest->order(order);
    co_await guest->wait_started("main");
    order.verb = link::verb::hold;
    co_await guest->order(order);
    const auto session = co_await guest->exec("other", command("echo", "hi"));
    EXPECT_EQ(session.exit_status, 0);
    co_await guest->wait_output("other", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(guest->output("other").standard_output, "hi\n");
    const std::size_t held = guest->output("main").standard_output.size();
    order.verb = link::verb::release;
    co_await guest->order(order);
    co_await guest->wait_output("main", "all bytes", [](const SessionOutput& output) {
      return output.standard_output.size() == 4194304;
    });
    EXPECT_LT(held, 4194304u);

    order.verb = link::verb::stats;
    link::Stats stats;
    extraconfig::decode(co_await guest->order(order), stats);
    EXPECT_GT(stats.cpu_nanoseconds, 0u);
    EXPECT_GT(stats.memory_bytes, 0u);
    EXPECT_GE(stats.processes, 1u);

    order.verb = link::verb::signal;
    order.signal = 9;
    order.whole_session = true;
    co_await guest->order(order);
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").signal, 9);

    order.verb = link::verb::start;
    co_await guest->order(order);
    co_await guest->wait_session("main", "running again", [](const config::SessionConfig& main) {
      return main.started == "true" && main.detail.stop_time == 0;
    });
    co_await guest->power_off();
  });
}

TEST(TetherVm, MountsVolumesAndOwnFilesAndKeepsThem) {
  run_on_loop([]() -> Task<> {
    const TempDir folder(std::filesystem::temp_directory_path(), "berth-scratch-");
    const auto scratch = Fixtures::make_scratch(folder.path());
    const auto configure = [](Guest& guest) {
      auto& config = guest.config;
      config.hostname = "pod";
      config.extra_hosts = {{"db", "192.0.2.1"}};
      config.dns_search = {"example.org"};
      config.networks["net"] = user_endpoint();
      config.sessions["main"].read_only_root = true;
      config::MountSpec volume;
      volume.source.scheme = "scratch";
      volume.source.path = "/v1";
      volume.path = "/data";
      volume.copy_mode = config::CopyMode::fresh;
      config.mounts["v1"] = volume;
      config::MountSpec temporary;
      temporary.source.scheme = "tmpfs";
      temporary.path = "/mnt/temporary";
      temporary.mode = "size=1m,mode=1777,noexec";
      config.mounts["t1"] = temporary;
    };
    Guest::Options options;
    options.network = true;
    options.scratch_image = scratch;
    {
      auto guest = co_await boot_with_main(
          shell("stat -c '%a %u %g %h' /data/deep/file; readlink /data/link; cat /data/twin; echo more >> "
                "/data/twin;"
                "touch /x; touch /mnt/temporary/y && df -k /mnt/temporary | tail -1 | awk '{print $2}';"
                "cat /etc/hosts /etc/resolv.conf /etc/hostname; ip -4 addr show; ip route; date +%s"),
          options);
      configure(*guest);
      co_await guest->push();
      co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
      const std::string text = guest->output("main").standard_output;
      EXPECT_NE(text.find("640 1000 50 2\ndeep/file\nfrom the image\n1024\n"), std::string::npos) << text;
      EXPECT_NE(text.find("10.0.2.15\tpod\n10.0.2.15\tuser.localhost\n192.0.2.1\tdb\n# berth: "
                          "end\n192.0.2.7\tof-the-image\n"),
                std::string::npos)
          << text;
      EXPECT_NE(text.find("search example.org\nnameserver 10.0.2.3\n# berth: end\npod\n"), std::string::npos)
          << text;
      EXPECT_NE(text.find("inet 10.0.2.15/24"), std::string::npos) << text;
      EXPECT_NE(text.find("default via 10.0.2.2 dev eth0"), std::string::npos) << text;
      EXPECT_NE(guest->output("main").standard_error.find("/x: Read-only file system"), std::string::npos)
          << guest->output("main").standard_error;
      EXPECT_EQ(guest->config.networks["net"].assigned.to_string(), "10.0.2.15/24");
      co_await guest->power_off();
    }
    // Unmounted cleanly: nothing is left for a journal replay.
    const auto state = run_tool("/sbin/dumpe2fs", command("-h", scratch.string()));
    EXPECT_EQ(state.find("needs_recovery"), std::string::npos) << state;
    auto guest = co_await boot_with_main(command("cat", "/data/twin"), options);
    configure(*guest);
    co_await guest->push();
    co_await guest->wait_output("main", "end", [](const SessionOutput& output) { return output.ended; });
    EXPECT_EQ(guest->output("main").standard_output, "from the image\nmore\n");
    co_await guest->power_off();
  });
}

TEST(TetherVm, AnswersAConfigurationThatCannotBeApplied) {
  run_on_loop([]() -> Task<> {
    Guest::Options options;
    options.scratch = false;
    auto guest = co_await boot_with_main(command("true"), options);
    try {
      co_await guest->push();
      ADD_FAILURE() << "a machine without its disk was configured";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::not_found);
      EXPECT_STREQ(error.what(), "the machine has no disk \"scratch\"");
    }
    link::Order order;
    order.verb = "dance";
    try {
      co_await guest->order(order);
      ADD_FAILURE() << "an unknown order was obeyed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::unsupported);
    }
    co_await guest->power_off();
  });
}

TEST(TetherVm, RunsBelowAnInitAndDoesNotWaitForPipesThatOthersHold) {
  run_on_loop([]() -> Task<> {
    auto guest =
        co_await boot_with_main(shell("echo $$; trap 'echo term; exit 4' TERM; sleep 100000 & wait"));
    guest->config.sessions["main"].init = true;
    co_await guest->push();
    co_await guest->wait_output("main", "pid", [](const SessionOutput& output) {
      return output.standard_output.find('\n') != std::string::npos;
    });
    EXPECT_EQ(guest->output("main").standard_output, "2\n");
    const auto session = co_await guest->exec("leaves", shell("echo now; setsid sleep 100000 & exit 3"));
    EXPECT_EQ(session.exit_status, 3);
    link::Order order;
    order.verb = link::verb::signal;
    order.session = "main";
    order.signal = 15;
    co_await guest->order(order);
    co_await guest->wait_ended("main");
    EXPECT_EQ(guest->session("main").exit_status, 4);
    co_await guest->power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
