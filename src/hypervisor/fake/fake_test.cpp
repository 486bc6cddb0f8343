#include "hypervisor/fake/fake.hpp"

#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>

#include "hypervisor/testing/clone_contract.hpp"
#include "hypervisor/testing/copy_contract.hpp"
#include "hypervisor/testing/machine_contract.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

constexpr char kMark[] = "berth was here";

/// What a disk has there: its files are taken for raw ones, and the first that has something for the one to
/// ask.
std::string read_through(const FakeGuest& guest, const std::string& serial, off_t offset) {
  for (const Disk& disk : guest.spec().disks) {
    if (disk.serial != serial) continue;
    std::vector<int> files{disk.fd};
    for (const DiskLayer& layer : disk.backing) files.push_back(layer.fd);
    for (const int file : files) {
      char buffer[sizeof kMark] = {};
      check(::pread(file, buffer, sizeof buffer, offset), "pread");
      if (buffer[0] != '\0') return buffer;
    }
  }
  return {};
}

/// Plays the guest of testing/main.cpp.
Task<> play(std::shared_ptr<FakeGuest> guest) {
  const auto executor = co_await asio::this_coro::executor;
  Stream control(executor, guest->take_port(Port::control));
  if (!guest->spec().frozen && guest->spec().receives < 0) co_await control.write_all("hello\n");
  while (guest->running()) {
    std::string order;
    co_await read_line_into(control, order);
    co_await guest->wait_unpaused();
    const std::string word = order.substr(0, order.find(' '));
    const std::string argument = order.substr(std::min(order.size(), word.size() + 1));
    if (word == "poweroff") guest->power_off();
    if (word == "panic") guest->panic("sysrq triggered crash");
    if (word == "reset") guest->reset();
    if (word == "console") {
      guest->write_console(std::string(std::stoul(argument), '#'));
      co_await control.write_all("done\n");
    }
    if (word == "echo") {
      Stream port(executor, guest->take_port(argument == "output" ? Port::output : Port::attach));
      co_await port.write_all(co_await read_line(port) + "\n");
    }
    if (word == "await") co_await control.write_all("there\n");
    if (word == "await-gone") co_await control.write_all("gone\n");
    if (word == "remember") guest->memory = argument;
    if (word == "recall") co_await control.write_all(guest->memory + "\n");
    if (word == "count") guest->memory = "0";
    if (word == "counted") {
      guest->memory = std::to_string(std::stoul(guest->memory) + 1);
      co_await control.write_all(guest->memory + "\n");
    }
    const bool only_done =
        word == "cpus" || word == "memory" || word == "remember" || word == "count" || word == "release";
    if (only_done) co_await control.write_all("done\n");
    if (word == "disks") co_await control.write_all("image:2048:1 scratch:32768:0\n");
    if (word == "read") {
      const std::size_t space = argument.find(' ');
      co_await control.write_all(
          read_through(*guest, argument.substr(0, space), std::stol(argument.substr(space))) + "\n");
    }
    if (word == "write") {
      const std::string serial = argument.substr(0, argument.find(' '));
      const bool writable = serial == "scratch";
      const off_t offset = serial == argument ? 4096 : std::stol(argument.substr(serial.size()));
      if (writable) check(::pwrite(guest->disk(serial), kMark, sizeof kMark, offset), "pwrite");
      guest->statistics.disks.back().bytes_written += writable ? 512 : 0;
      co_await control.write_all(writable ? "written\n" : "failed\n");
    }
  }
}

struct FakeFixture final : MachineStarter {
  FakeFixture() {
    hypervisor.on_start = [](std::shared_ptr<FakeGuest> guest) {
      spawn_detached(guest->executor(), "guest", swallow(play(guest)));
    };
  }
  /// A guest whose machine ends stops in the middle of something.
  static Task<> swallow(Task<> task) {
    try {
      co_await std::move(task);
    } catch (const Error&) {
    }
  }
  Task<std::unique_ptr<Machine>> start(MachineSpec spec) override {
    return hypervisor.start(std::move(spec));
  }

  FakeHypervisor hypervisor;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Fake, MachineContract, FakeFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(Fake, CloneContract, FakeFixture);
INSTANTIATE_TYPED_TEST_SUITE_P(Fake, CopyContract, FakeFixture);

TEST(FakeHypervisor, FailsAsToldOnce) {
  FakeHypervisor hypervisor;
  hypervisor.fail_next_start(Error(Code::capacity, "no memory"));
  run_task([&]() -> Task<> {
    EXPECT_EQ(co_await code_of(discard(hypervisor.start(MachineSpec()))), Code::capacity);
    EXPECT_EQ(co_await code_of(discard(hypervisor.start(MachineSpec()))), std::nullopt);
  });
  EXPECT_EQ(hypervisor.guests().size(), 1u);
}

TEST(FakeHypervisor, GuestsMayKeepWhatTheyHave) {
  FakeHypervisor hypervisor;
  run_task([&]() -> Task<> {
    MachineSpec spec;
    spec.most_cpus = 2;
    const auto machine = co_await hypervisor.start(spec);
    FakeGuest& guest = *hypervisor.guests().front();
    guest.keeps_everything = true;
    co_await machine->set_cpus(2, Milliseconds(10));
    EXPECT_EQ(co_await code_of(machine->set_cpus(1, Milliseconds(10))), Code::timeout);
    EXPECT_EQ(guest.size().cpus, 2u);
  });
}

TEST(FakeHypervisor, CountsOrders) {
  FakeHypervisor hypervisor;
  run_task([&]() -> Task<> {
    const auto machine = co_await hypervisor.start(MachineSpec());
    FakeGuest& guest = *hypervisor.guests().front();
    guest.on_power_button = [&] { guest.power_off(); };
    co_await machine->pause();
    EXPECT_TRUE(guest.paused());
    co_await machine->inject_nmi();
    EXPECT_EQ(guest.nmis(), 1u);
    co_await machine->power_button();
    EXPECT_EQ((co_await machine->wait_end()).reason, MachineEnd::Reason::powered_off);
  });
}

}  // namespace
}  // namespace berth::hypervisor
