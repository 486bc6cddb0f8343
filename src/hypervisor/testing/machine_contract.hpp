#pragma once

// What every Hypervisor must do, as typed tests: a fixture gives machines whose guest obeys the words of
// test_guest/main.cpp on its control port. Included by the tests of each implementation.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/async.hpp"
#include "base/error.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {

inline Task<MachineEnd::Reason> end_of(Machine& machine) {
  const MachineEnd end = co_await machine.wait_end();
  co_return end.reason;
}

template <typename Fixture>
class MachineContract : public ::testing::Test {
 protected:
  /// Starts the fixture's machine and runs `body` with it.
  template <typename Body>
  void with_machine(Body body, MachineSpec spec = {}) {
    run_task([&]() -> Task<> {
      const auto machine = co_await fixture_.start(std::move(spec));
      Stream control(co_await asio::this_coro::executor, machine->take_port(Port::control));
      co_await wait_hello(*machine, control);
      co_await body(*machine, control);
    });
  }

  Fixture fixture_;
};

TYPED_TEST_SUITE_P(MachineContract);

TYPED_TEST_P(MachineContract, TellsAPowerOff) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    co_await control.write_all("poweroff\n");
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::powered_off);
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::powered_off);
  });
}

TYPED_TEST_P(MachineContract, TellsAPanicAndItsCause) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    co_await control.write_all("panic\n");
    const MachineEnd end = co_await machine.wait_end();
    EXPECT_EQ(end.reason, MachineEnd::Reason::panicked);
    EXPECT_EQ(end.describe(), "the guest kernel panicked: sysrq triggered crash");
  });
}

TYPED_TEST_P(MachineContract, TellsAReset) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    co_await control.write_all("reset\n");
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::reset);
  });
}

TYPED_TEST_P(MachineContract, QuitEndsTheMachineAndItsStreams) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    co_await machine.quit(Milliseconds(10'000));
    co_await machine.quit(Milliseconds(10'000));
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::quit);
    char byte = 0;
    EXPECT_EQ(co_await control.read_some(&byte, 1), 0u);
    EXPECT_EQ(co_await code_of(machine.pause()), Code::wrong_state);
    EXPECT_EQ(co_await code_of(discard(machine.statistics())), Code::wrong_state);
  });
}

TYPED_TEST_P(MachineContract, AWaiterOutlivesTheMachine) {
  run_task([this]() -> Task<> {
    auto machine = co_await this->fixture_.start(MachineSpec());
    std::optional<MachineEnd> seen;
    const auto executor = co_await asio::this_coro::executor;
    Event done(executor);
    asio::co_spawn(executor, machine->wait_end(), [&](std::exception_ptr, MachineEnd end) {
      seen = std::move(end);
      done.notify_all();
    });
    machine.reset();
    if (!seen) co_await done.wait_for(Milliseconds(5'000));
    EXPECT_TRUE(seen && seen->reason == MachineEnd::Reason::quit);
  });
}

TYPED_TEST_P(MachineContract, EachPortCarriesBytesBothWays) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    for (const Port port : {Port::output, Port::attach}) {
      Stream stream(co_await asio::this_coro::executor, machine.take_port(port));
      const std::string name(to_string(port));
      const std::string text(5000, name[0]);
      // Written before the guest opens its end.
      co_await stream.write_all(text + "\n");
      co_await control.write_all("echo " + name + "\n");
      EXPECT_EQ(co_await read_line(stream), text);
    }
  });
}

TYPED_TEST_P(MachineContract, APortIsTakenOnce) {
  this->with_machine([](Machine& machine, Stream&) -> Task<> {
    EXPECT_EQ(code_thrown([&] { machine.take_port(Port::control); }), Code::wrong_state);
    co_return;
  });
}

TYPED_TEST_P(MachineContract, PausesAndResumes) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    // One that goes on would have answered long before.
    constexpr Milliseconds kLookFor{500};
    co_await machine.pause();
    co_await machine.pause();
    co_await control.write_all("console 10\n");
    Task<> answer = control.wait_readable();
    EXPECT_EQ(co_await code_of(with_deadline(kLookFor, "a paused guest", std::move(answer))), Code::timeout);
    const MachineStatistics statistics = co_await machine.statistics();
    EXPECT_TRUE(statistics.disks.empty());
    co_await machine.resume();
    co_await machine.resume();
    EXPECT_EQ(co_await read_line(control), "done");
    co_await control.write_all("poweroff\n");
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::powered_off);
  });
}

TYPED_TEST_P(MachineContract, APausedMachineQuits) {
  this->with_machine([](Machine& machine, Stream&) -> Task<> {
    co_await machine.pause();
    co_await machine.quit(Milliseconds(10'000));
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::quit);
    EXPECT_EQ(co_await code_of(machine.resume()), Code::wrong_state);
  });
}

TYPED_TEST_P(MachineContract, KeepsTheEndOfTheConsole) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    co_await control.write_all("console 20000\n");
    EXPECT_EQ(co_await read_line(control), "done");
    EXPECT_THAT(co_await console_with(machine, std::string(20000, '#')), ::testing::HasSubstr("####"));
    EXPECT_LE(machine.console_tail().size(), kConsoleTail);
  });
}

TYPED_TEST_P(MachineContract, DisksHoldWhatTheGuestSyncs) {
  DiskFile image(std::uint64_t{1} << 20, true);
  DiskFile scratch(std::uint64_t{16} << 20, false);
  MachineSpec spec;
  spec.disks = {{image.fd(), true, "image"}, {scratch.fd(), false, "scratch"}};
  this->with_machine(
      [&](Machine& machine, Stream& control) -> Task<> {
        image.close();
        co_await control.write_all("disks\n");
        EXPECT_THAT(co_await read_line(control), ::testing::AllOf(::testing::HasSubstr("image:2048:1"),
                                                                  ::testing::HasSubstr("scratch:32768:0")));
        co_await control.write_all("write scratch\n");
        EXPECT_EQ(co_await read_line(control), "written");
        EXPECT_STREQ(scratch.read(4096, 14).c_str(), "berth was here");
        co_await control.write_all("write image\n");
        EXPECT_EQ(co_await read_line(control), "failed");
        const MachineStatistics statistics = co_await machine.statistics();
        EXPECT_EQ(statistics.disks.size(), 2u);
        EXPECT_EQ(statistics.disks.at(1).serial, "scratch");
        EXPECT_GE(statistics.disks.at(1).bytes_written, 512u);
      },
      spec);
}

inline constexpr std::uint64_t kLayeredBytes = std::uint64_t{16} << 20;

/// Three files of a disk on which the guest has left its mark at 4096, 8192 and 12288, one in each.
struct LayeredDisk {
  DiskFile base{kLayeredBytes, false};
  DiskFile middle = DiskFile::overlay(kLayeredBytes);
  DiskFile top = DiskFile::overlay(kLayeredBytes);
};

inline Task<std::string> ask(Stream& control, std::string order) {
  co_await control.write_all(order + "\n");
  co_return co_await read_line(control);
}

inline Task<> expect_marks(Stream& control) {
  for (const char* offset : {"4096", "8192", "12288"}) {
    EXPECT_EQ(co_await ask(control, std::string("read scratch ") + offset), "berth was here") << offset;
  }
  EXPECT_EQ(co_await ask(control, "read scratch 16384"), "");
}

/// Marks the disk in a running machine, with snapshots in between, one of them while it stands still.
inline Task<> write_layers(Machine& machine, Stream& control, LayeredDisk& disk) {
  EXPECT_EQ(co_await ask(control, "write scratch 4096"), "written");
  co_await machine.snapshot_disk("scratch", disk.middle.fd());
  const UniqueFd base = disk.base.layer();
  co_await machine.seal_disk("scratch", base.get());
  EXPECT_STREQ(disk.base.read(4096, 14).c_str(), "berth was here");
  const std::string base_before = disk.base.all();
  EXPECT_EQ(co_await ask(control, "write scratch 8192"), "written");
  co_await machine.pause();
  co_await machine.snapshot_disk("scratch", disk.top.fd());
  const std::string middle_before = disk.middle.all();
  EXPECT_TRUE(is_untouched_overlay(disk.top.fd(), kLayeredBytes));
  co_await machine.resume();
  const UniqueFd middle = disk.middle.layer();
  co_await machine.seal_disk("scratch", middle.get());
  EXPECT_EQ(co_await ask(control, "write scratch 12288"), "written");
  co_await expect_marks(control);
  EXPECT_EQ(disk.base.all(), base_before);
  EXPECT_EQ(disk.middle.all(), middle_before);
}

TYPED_TEST_P(MachineContract, WhatIsWrittenAfterASnapshotGoesToTheOverlay) {
  LayeredDisk disk;
  MachineSpec spec;
  spec.disks = {{disk.base.fd(), false, "scratch"}};
  this->with_machine(
      [&](Machine& machine, Stream& control) -> Task<> {
        co_await write_layers(machine, control, disk);
        co_await machine.quit(Milliseconds(10'000));
      },
      spec);

  // Two machines at a time, each with an overlay of its own: one has it from its start, the other is given
  // it.
  const UniqueFd base = disk.base.layer();
  const UniqueFd middle = disk.middle.layer();
  const UniqueFd top = disk.top.layer();
  DiskFile own = DiskFile::overlay(kLayeredBytes);
  DiskFile other = DiskFile::overlay(kLayeredBytes);
  const std::vector<DiskLayer> below{
      {top.get(), DiskFormat::qcow2}, {middle.get(), DiskFormat::qcow2}, {base.get(), DiskFormat::raw}};
  spec.disks = {{own.fd(), false, "scratch", DiskFormat::qcow2, below}};
  const std::string top_before = disk.top.all();
  this->with_machine(
      [&](Machine&, Stream& control) -> Task<> {
        co_await expect_marks(control);
        const auto second = co_await this->fixture_.start(MachineSpec());
        Stream second_control(co_await asio::this_coro::executor, second->take_port(Port::control));
        co_await wait_hello(*second, second_control);
        const Disk given{other.fd(), false, "scratch", DiskFormat::qcow2, below};
        co_await second->add_disk(given);
        EXPECT_EQ(co_await ask(second_control, "await disk scratch"), "there");
        co_await expect_marks(second_control);
        EXPECT_EQ(co_await ask(control, "write scratch 20480"), "written");
        EXPECT_EQ(co_await ask(second_control, "read scratch 20480"), "");
        co_await second->remove_disk("scratch", Milliseconds(20'000));
        co_await second->add_disk(given);
        EXPECT_EQ(disk.top.all(), top_before);
      },
      spec);
}

TYPED_TEST_P(MachineContract, SnapshotsNeedADiskThatIsWrittenTo) {
  DiskFile image(kLayeredBytes, true);
  DiskFile scratch(kLayeredBytes, false);
  DiskFile overlay = DiskFile::overlay(kLayeredBytes);
  MachineSpec spec;
  spec.disks = {{image.fd(), true, "image"}, {scratch.fd(), false, "scratch"}};
  this->with_machine(
      [&](Machine& machine, Stream& control) -> Task<> {
        EXPECT_EQ(co_await code_of(machine.snapshot_disk("other", overlay.fd())), Code::not_found);
        EXPECT_EQ(co_await code_of(machine.snapshot_disk("image", overlay.fd())), Code::wrong_state);
        EXPECT_EQ(co_await code_of(machine.snapshot_disk("scratch", scratch.fd())), Code::corrupt);
        EXPECT_EQ(co_await code_of(machine.seal_disk("scratch", image.fd())), Code::wrong_state);
        EXPECT_EQ(co_await ask(control, "write scratch 4096"), "written");
        EXPECT_STREQ(scratch.read(4096, 14).c_str(), "berth was here");
      },
      spec);
}

TYPED_TEST_P(MachineContract, ForwardsComeAndGo) {
  MachineSpec spec;
  spec.network_cards.push_back({NetworkCard::Backend::user, "52:54:00:12:34:56", -1});
  const PortForward forward{PortForward::Protocol::tcp, "127.0.0.1", free_port(), 80};
  const PortForward other{PortForward::Protocol::tcp, "127.0.0.1", free_port(), 81};
  spec.forwards = {forward};
  this->with_machine(
      [&](Machine& machine, Stream&) -> Task<> {
        EXPECT_EQ(co_await code_of(machine.add_forward(forward)), Code::already_exists);
        EXPECT_EQ(co_await code_of(machine.remove_forward(other)), Code::not_found);
        co_await machine.add_forward(other);
        EXPECT_EQ(co_await code_of(machine.add_forward(other)), Code::already_exists);
        co_await machine.remove_forward(other);
        co_await machine.add_forward(other);
        MachineSpec rival;
        rival.network_cards.push_back({NetworkCard::Backend::user, "52:54:00:12:34:57", -1});
        rival.forwards = {forward};
        EXPECT_EQ(co_await code_of(discard(this->fixture_.start(rival))), Code::already_exists);
      },
      spec);
}

TYPED_TEST_P(MachineContract, ForwardsNeedANetwork) {
  this->with_machine([](Machine& machine, Stream&) -> Task<> {
    const PortForward forward{PortForward::Protocol::udp, "127.0.0.1", free_port(), 80};
    EXPECT_EQ(co_await code_of(machine.add_forward(forward)), Code::wrong_state);
  });
}

/// What may be waited for that a guest does at once.
inline constexpr Milliseconds kPlugLimit{20'000};

TYPED_TEST_P(MachineContract, DisksComeAndGo) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    for (int round = 0; round < 2; ++round) {
      DiskFile file(std::uint64_t{16} << 20, false);
      const Disk disk{file.fd(), false, "scratch"};
      co_await machine.add_disk(disk);
      EXPECT_EQ(co_await code_of(machine.add_disk(disk)), Code::already_exists);
      file.close();
      co_await control.write_all("await disk scratch\n");
      EXPECT_EQ(co_await read_line(control), "there");
      co_await control.write_all("write scratch\n");
      EXPECT_EQ(co_await read_line(control), "written");
      EXPECT_STREQ(file.read(4096, 14).c_str(), "berth was here");
      const MachineStatistics statistics = co_await machine.statistics();
      EXPECT_EQ(statistics.disks.size(), 1u);
      co_await machine.remove_disk("scratch", kPlugLimit);
      co_await control.write_all("await-gone disk scratch\n");
      EXPECT_EQ(co_await read_line(control), "gone");
      EXPECT_EQ(co_await code_of(machine.remove_disk("scratch", kPlugLimit)), Code::not_found);
    }
  });
}

TYPED_TEST_P(MachineContract, WhatAMachineStartedWithStays) {
  DiskFile file(std::uint64_t{1} << 20, false);
  MachineSpec spec;
  spec.disks = {{file.fd(), false, "scratch"}};
  spec.network_cards.push_back({NetworkCard::Backend::user, "52:54:00:12:34:56", -1});
  this->with_machine(
      [](Machine& machine, Stream&) -> Task<> {
        EXPECT_EQ(co_await code_of(machine.remove_disk("scratch", kPlugLimit)), Code::wrong_state);
        EXPECT_EQ(co_await code_of(machine.remove_network_card("52:54:00:12:34:56", kPlugLimit)),
                  Code::wrong_state);
        EXPECT_EQ(co_await code_of(machine.set_cpus(2, kPlugLimit)), Code::invalid_argument);
        EXPECT_EQ(co_await code_of(machine.set_memory(std::uint64_t{1} << 30, kPlugLimit)),
                  Code::invalid_argument);
        const Size size = machine.size();
        EXPECT_EQ(size.cpus, 1u);
        EXPECT_EQ(size.memory_bytes, std::uint64_t{256} << 20);
      },
      spec);
}

TYPED_TEST_P(MachineContract, TakesAsManyDisksAsItHasPlaces) {
  this->with_machine([](Machine& machine, Stream&) -> Task<> {
    DiskFile file(std::uint64_t{1} << 20, true);
    Disk disk{file.fd(), true, "last"};
    EXPECT_EQ(co_await code_of(machine.add_disk(Disk())), Code::invalid_argument);
    for (unsigned i = 0; i < kPlugPlaces; ++i) {
      disk.serial = "disk" + std::to_string(i);
      co_await machine.add_disk(disk);
    }
    disk.serial = "last";
    EXPECT_EQ(co_await code_of(machine.add_disk(disk)), Code::capacity);
  });
}

TYPED_TEST_P(MachineContract, NetworkCardsComeAndGo) {
  this->with_machine([](Machine& machine, Stream& control) -> Task<> {
    for (const auto backend : {NetworkCard::Backend::datagram, NetworkCard::Backend::stream,
                               NetworkCard::Backend::user, NetworkCard::Backend::user}) {
      const int type = backend == NetworkCard::Backend::stream ? SOCK_STREAM : SOCK_DGRAM;
      auto [ours, theirs] = make_socket_pair(type);
      NetworkCard card;
      card.backend = backend;
      card.mac = "52:54:00:12:34:99";
      if (backend != NetworkCard::Backend::user) card.fd = theirs.get();
      co_await machine.add_network_card(card);
      theirs.reset();
      EXPECT_EQ(co_await code_of(machine.add_network_card(card)), Code::already_exists);
      co_await control.write_all("await card 52:54:00:12:34:99\n");
      EXPECT_EQ(co_await read_line(control), "there");
      co_await machine.remove_network_card(card.mac, kPlugLimit);
      co_await control.write_all("await-gone card 52:54:00:12:34:99\n");
      EXPECT_EQ(co_await read_line(control), "gone");
      EXPECT_EQ(co_await code_of(machine.remove_network_card(card.mac, kPlugLimit)), Code::not_found);
    }
  });
}

TYPED_TEST_P(MachineContract, CpusComeAndGo) {
  MachineSpec spec;
  spec.most_cpus = 4;
  this->with_machine(
      [](Machine& machine, Stream& control) -> Task<> {
        for (const unsigned count : {2u, 4u, 1u}) {
          const auto refusal = co_await code_of(machine.set_cpus(count, kPlugLimit));
          if (refusal == Code::unsupported) {
            EXPECT_EQ(machine.size().cpus, 1u);
            break;
          }
          EXPECT_EQ(refusal, std::nullopt);
          co_await control.write_all("cpus " + std::to_string(count) + "\n");
          EXPECT_EQ(co_await read_line(control), "done");
          EXPECT_EQ(machine.size().cpus, count);
        }
        EXPECT_EQ(co_await code_of(machine.set_cpus(5, kPlugLimit)), Code::invalid_argument);
        EXPECT_EQ(co_await code_of(machine.set_cpus(0, kPlugLimit)), Code::invalid_argument);
      },
      spec);
}

TYPED_TEST_P(MachineContract, MemoryComesAndGoes) {
  constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
  MachineSpec spec;
  spec.most_memory_bytes = 1024 * kMiB;
  this->with_machine(
      [](Machine& machine, Stream& control) -> Task<> {
        co_await control.write_all("memory 256\n");
        EXPECT_EQ(co_await read_line(control), "done");
        for (const std::uint64_t mebibytes : {512u, 384u, 1024u, 256u}) {
          co_await machine.set_memory(mebibytes * kMiB, kPlugLimit);
          co_await control.write_all("memory " + std::to_string(mebibytes) + "\n");
          EXPECT_EQ(co_await read_line(control), "done") << mebibytes;
          EXPECT_EQ(machine.size().memory_bytes, mebibytes * kMiB);
        }
        EXPECT_EQ(co_await code_of(machine.set_memory(128 * kMiB, kPlugLimit)), Code::invalid_argument);
      },
      spec);
}

REGISTER_TYPED_TEST_SUITE_P(MachineContract, TellsAPowerOff, TellsAPanicAndItsCause, TellsAReset,
                            QuitEndsTheMachineAndItsStreams, AWaiterOutlivesTheMachine,
                            EachPortCarriesBytesBothWays, APortIsTakenOnce, PausesAndResumes,
                            APausedMachineQuits, KeepsTheEndOfTheConsole, DisksHoldWhatTheGuestSyncs,
                            WhatIsWrittenAfterASnapshotGoesToTheOverlay, SnapshotsNeedADiskThatIsWrittenTo,
                            ForwardsComeAndGo, ForwardsNeedANetwork, DisksComeAndGo,
                            WhatAMachineStartedWithStays, TakesAsManyDisksAsItHasPlaces,
                            NetworkCardsComeAndGo, CpusComeAndGo, MemoryComesAndGoes);

}  // namespace berth::hypervisor
