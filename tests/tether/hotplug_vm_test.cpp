// What the tether does with disks, network cards, CPUs and memory that come and go while sessions run.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "base/error.hpp"
#include "volume.hpp"
#include "wired.hpp"

namespace berth::tether_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
/// What a guest does at once, under software emulation on a busy host.
constexpr Milliseconds kPlugLimit{60'000};

Task<std::unique_ptr<Wired>> boot_bare() {
  auto wired = std::make_unique<Wired>(co_await asio::this_coro::executor);
  Guest::Options options;
  // CPUs that are there and not in use stand for those that come: QEMU adds none under software emulation.
  options.cpus = 2;
  options.kernel_arguments = "maxcpus=1";
  options.most_memory_bytes = 1024 * kMiB;
  wired->guest = co_await Guest::boot(options);
  wired->guest->config.hostname = "pod";
  wired->guest->config.sessions["main"] = make_session(shell(kIdle));
  co_return wired;
}

TEST(TetherHotplug, F18F25ADiskComesAndGoesWhileASessionRuns) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    Volume volume;
    Volume labelled("files");
    co_await guest.push();
    co_await guest.wait_started("main");

    // The image's content, with owners and modes; no lost+found.
    co_await volume.add_to(guest, "volume1");
    guest.config.mounts["v"] = disk_mount("serial", "volume1", "/data");
    co_await guest.push();
    EXPECT_EQ(
        co_await wired->run("stat -c '%a %u %g %h' /data/deep/file; cat /data/twin; ls -A /data | grep lost;"
                            "echo kept > /data/new"),
        "640 1000 50 2\nfrom the image\n");

    // By its label, on a place that was not there, for reading alone.
    co_await labelled.add_to(guest, "volume2");
    guest.config.mounts["l"] = disk_mount("label", "files", "/mnt/some/where");
    guest.config.mounts["l"].mode = "ro";
    co_await guest.push();
    EXPECT_THAT(co_await wired->run("grep /mnt/some/where /proc/mounts; touch /mnt/some/where/x"),
                AllOf(HasSubstr(" ext4 ro,"), HasSubstr("Read-only file system")));

    // In use, it stays; then it goes, whole.
    auto busy = make_session(shell(kIdle));
    busy.container = "main";
    busy.cmd.dir = "/data";
    guest.config.execs["busy"] = busy;
    co_await guest.push();
    co_await guest.wait_started("busy");
    const config::MountSpec mount = guest.config.mounts["v"];
    guest.config.mounts.erase("v");
    EXPECT_EQ(co_await refusal_of(guest),
              "/data is in use in the container; end the processes that use it first");
    link::Order order = order_for_main(link::verb::signal);
    order.session = "busy";
    order.signal = SIGKILL;
    order.whole_session = true;
    co_await guest.order(order);
    co_await guest.wait_ended("busy");
    guest.config.execs.erase("busy");
    co_await guest.push();
    EXPECT_EQ(co_await wired->run("ls /data; grep -c /data /proc/mounts"), "deep\nlink\ntwin\n0\n");
    co_await guest.machine().remove_disk("volume1", kPlugLimit);
    EXPECT_THAT(volume.state(), Not(HasSubstr("needs_recovery")));

    // And comes again, with what was written.
    co_await volume.add_to(guest, "volume1");
    guest.config.mounts["v"] = mount;
    co_await guest.push();
    EXPECT_EQ(co_await wired->run("cat /data/new"), "kept\n");
    EXPECT_EQ(guest.session("main").detail.stop_time, 0);
    co_await guest.power_off();
    EXPECT_THAT(volume.state(), Not(HasSubstr("needs_recovery")));
  });
}

TEST(TetherHotplug, F20NestedVolumesAreMountedParentsFirst) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    Volume outer;
    Volume inner;
    co_await outer.add_to(guest, "outer");
    co_await inner.add_to(guest, "inner");
    // By their keys they would come the other way round.
    guest.config.mounts["a"] = disk_mount("serial", "inner", "/data/deep");
    guest.config.mounts["b"] = disk_mount("serial", "outer", "/data");
    co_await guest.push();
    co_await guest.wait_started("main");
    const std::string shown = "cat /data/twin; stat -c %a /data/deep/file; grep -c '/data' /proc/mounts";
    EXPECT_EQ(co_await wired->run(shown), "from the image\n640\n2\n");
    // The outer one goes and comes while the inner one stays.
    const config::MountSpec mount = guest.config.mounts["b"];
    guest.config.mounts.erase("b");
    co_await guest.push();
    EXPECT_EQ(co_await wired->run("stat -c %a /data/deep/file; grep -c '/data' /proc/mounts"), "640\n1\n");
    guest.config.mounts["b"] = mount;
    co_await guest.push();
    EXPECT_EQ(co_await wired->run(shown), "from the image\n640\n2\n");
    co_await guest.power_off();
  });
}

TEST(TetherHotplug, F22ADiskThatComesLateIsAwaited) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    Volume volume;
    guest.config.mounts["v"] = disk_mount("serial", "late", "/data");
    bool done = false;
    asio::co_spawn(co_await asio::this_coro::executor, guest.push(),
                   [&](std::exception_ptr failure) { done = !failure; });
    // Answered while it is awaited.
    link::Order order;
    order.verb = link::verb::clock;
    order.time = std::chrono::nanoseconds(guest.config.time).count();
    co_await guest.order(order);
    EXPECT_FALSE(done);
    EXPECT_EQ(guest.session("main").started, "");
    co_await volume.add_to(guest, "late");
    co_await guest.wait_started("main");
    EXPECT_EQ(guest.session("main").started, "true");
    co_await guest.wait_change("the configuration is acknowledged", [&] { return done; });
    EXPECT_EQ(co_await wired->run("cat /data/twin"), "from the image\n");
    co_await guest.power_off();
  });
}

TEST(TetherHotplug, F22ADiskThatNeverComesIsNamed) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    guest.config.mounts["v"] = disk_mount("serial", "absent", "/data");
    EXPECT_EQ(co_await refusal_of(guest), "mount /data: the machine has no disk \"absent\"");
    EXPECT_EQ(guest.session("main").started, "");
    guest.config.mounts["v"] = disk_mount("serial", "scratch", "/data");
    EXPECT_EQ(co_await refusal_of(guest), "mount /data: \"scratch\" cannot be the disk of a volume");
    // Nothing of a container that runs waits for one.
    guest.config.mounts.clear();
    co_await guest.push();
    co_await guest.wait_started("main");
    guest.config.mounts["v"] = disk_mount("label", "absent", "/data");
    std::string refusal;
    asio::co_spawn(co_await asio::this_coro::executor, refusal_of(guest),
                   [&](std::exception_ptr, std::string said) { refusal = std::move(said); });
    EXPECT_EQ(co_await wired->run("echo runs"), "runs\n");
    co_await guest.wait_change("the configuration is refused", [&] { return !refusal.empty(); });
    EXPECT_EQ(refusal, "mount /data: the machine has no disk labelled \"absent\"");
    co_await guest.power_off();
  });
}

TEST(TetherHotplug, G6ADamagedFileSystemIsNamedAndAnotherDiskIsHarmless) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    Volume damaged;
    Volume other;
    damaged.overwrite();
    co_await damaged.add_to(guest, "damaged");
    co_await other.add_to(guest, "nobodys");
    guest.config.mounts["v"] = disk_mount("serial", "damaged", "/data");
    EXPECT_THAT(co_await refusal_of(guest), AllOf(HasSubstr("mount /data: "), HasSubstr("mount ext4 on ")));
    EXPECT_EQ(guest.session("main").started, "");
    guest.config.mounts.clear();
    co_await guest.push();
    co_await guest.wait_started("main");
    EXPECT_EQ(guest.session("main").started, "true");
    co_await guest.power_off();
  });
}

TEST(TetherHotplug, B11AStopWhileAMountIsAwaited) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    guest.config.mounts["v"] = disk_mount("serial", "absent", "/data");
    std::string refusal;
    asio::co_spawn(co_await asio::this_coro::executor, refusal_of(guest),
                   [&](std::exception_ptr, std::string said) { refusal = std::move(said); });
    link::Order order;
    order.verb = link::verb::clock;
    order.time = std::chrono::nanoseconds(guest.config.time).count();
    co_await guest.order(order);
    const hypervisor::MachineEnd end = co_await guest.power_off();
    EXPECT_EQ(end.reason, hypervisor::MachineEnd::Reason::powered_off);
    EXPECT_EQ(refusal, "the machine is being switched off while the mount /data is awaited");
  });
}

TEST(TetherHotplug, F25ANetworkCardComesAndGoes) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    co_await guest.push();
    co_await guest.wait_started("main");
    for (Peer* peer : {&wired->first, &wired->second}) {
      // The configuration first, the card later; then the other way round.
      const bool card_first = peer == &wired->second;
      const char* const mac = card_first ? kSecondCard : kFirstCard;
      if (card_first) co_await guest.machine().add_network_card(peer->card());
      guest.config.networks["n"] = static_endpoint("late", mac, "10.1.0.2/24");
      bool done = false;
      asio::co_spawn(co_await asio::this_coro::executor, guest.push(),
                     [&](std::exception_ptr failure) { done = !failure; });
      if (!card_first) {
        EXPECT_EQ(co_await wired->run("echo runs"), "runs\n");
        co_await guest.machine().add_network_card(peer->card());
      }
      peer->start();
      co_await guest.wait_change("the network is there", [&] { return done; });
      co_await peer->wait_address(ipv4("10.1.0.2"));
      co_await guest.machine().remove_network_card(mac, kPlugLimit);
      EXPECT_EQ(co_await wired->run("ip addr | grep -c 10.1.0.2"), "0\n");
      guest.config.networks.clear();
      co_await guest.push();
    }
    co_await guest.power_off();
  });
}

TEST(TetherHotplug, CpusAndMemoryAreUsedAsTheyCome) {
  run_on_loop([]() -> Task<> {
    const auto wired = co_await boot_bare();
    Guest& guest = *wired->guest;
    guest.config.sessions["main"].resources.pids_limit = 100;
    co_await guest.push();
    co_await guest.wait_started("main");
    EXPECT_EQ(co_await wired->run("nproc"), "1\n");
    link::Order order;
    order.verb = link::verb::adjust;
    order.cpus = 2;
    co_await guest.order(order);
    EXPECT_EQ(co_await wired->run("nproc"), "2\n");

    const std::string look = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
    const std::string before = co_await wired->run(look);
    co_await guest.machine().set_memory(768 * kMiB, kPlugLimit);
    co_await guest.order(order);
    const std::string after = co_await wired->run(look);
    const std::uint64_t more = std::stoull(after) - std::stoull(before);
    EXPECT_GT(more, 400 * kMiB);
    EXPECT_LE(more, 512 * kMiB);
    EXPECT_THAT(after, HasSubstr("\n100\n"));
    // It is there to be used, and goes back when it is not.
    EXPECT_EQ(co_await wired->run(
                  "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null; rm /dev/shm/x; echo ok"),
              "ok\n");
    co_await guest.machine().set_memory(256 * kMiB, kPlugLimit);
    co_await guest.order(order);
    EXPECT_EQ(co_await wired->run(look), before);
    co_await guest.power_off();
  });
}

}  // namespace
}  // namespace berth::tether_test
