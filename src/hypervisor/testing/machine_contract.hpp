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
    co_await machine.pause();
    co_await machine.resume();
    co_await control.write_all("poweroff\n");
    EXPECT_EQ(co_await end_of(machine), MachineEnd::Reason::powered_off);
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

REGISTER_TYPED_TEST_SUITE_P(MachineContract, TellsAPowerOff, TellsAPanicAndItsCause, TellsAReset,
                            QuitEndsTheMachineAndItsStreams, AWaiterOutlivesTheMachine,
                            EachPortCarriesBytesBothWays, APortIsTakenOnce, PausesAndResumes,
                            KeepsTheEndOfTheConsole, DisksHoldWhatTheGuestSyncs, ForwardsComeAndGo,
                            ForwardsNeedANetwork);

}  // namespace berth::hypervisor
