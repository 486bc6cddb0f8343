#pragma once

// What every Hypervisor must do to copy running machines, as typed tests; see clone_contract.hpp.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/async.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/testing/clone_contract.hpp"
#include "hypervisor/testing/machine_contract.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {

inline constexpr Milliseconds kCopyLimit{30'000};

/// A receiver, and the socket that leads to it.
struct Receiver {
  std::unique_ptr<Machine> machine;
  UniqueFd stream;
};

inline Task<Receiver> start_receiver(MachineStarter& starter, FrozenFiles& files, MachineSpec spec) {
  auto [ours, theirs] = make_socket_pair();
  spec.memory_file = files.memory.fd();
  spec.receives = theirs.get();
  spec.frozen.reset();
  spec.forwards.clear();
  Receiver receiver;
  receiver.machine = co_await starter.start(std::move(spec));
  receiver.stream = std::move(ours);
  co_return receiver;
}

/// Copies a machine of that kind into `files`, and gives it the overlay while it stands still, if there is
/// one. Returns for how long it stood still at most.
inline Task<Milliseconds> copy_machine(MachineStarter& starter, Machine& source, FrozenFiles& files,
                                       MachineSpec spec, DiskFile* overlay = nullptr) {
  Receiver receiver = co_await start_receiver(starter, files, std::move(spec));
  const auto began = std::chrono::steady_clock::now();
  const std::unique_ptr<MachineCopy> copy = co_await source.begin_copy(receiver.stream.get());
  const auto tracked = std::chrono::steady_clock::now();
  receiver.stream.reset();
  co_await copy->approach(kCopyLimit);
  const auto stopped = std::chrono::steady_clock::now();
  co_await copy->stop();
  if (overlay != nullptr) co_await source.snapshot_disk("scratch", overlay->fd());
  co_await copy->finish();
  co_await source.resume();
  const auto resumed = std::chrono::steady_clock::now();
  co_await receiver.machine->wait_received(kCopyLimit);
  co_await receiver.machine->freeze(files.state.fd());
  co_await receiver.machine->quit(kCopyLimit);
  const auto in_ms = [](auto time) { return static_cast<long long>(time / Milliseconds(1)); };
  std::printf("a copy: begin %lld ms, approach %lld ms, stop to resume %lld ms\n", in_ms(tracked - began),
              in_ms(stopped - tracked), in_ms(resumed - stopped));
  co_return std::chrono::duration_cast<Milliseconds>(resumed - stopped);
}

inline Task<std::uint64_t> counted(Stream& control) {
  const std::string answer = co_await ask(control, "counted");
  co_return std::stoull(answer);
}

/// Whether the guest counts beyond `number`.
inline Task<bool> counts_beyond(Stream& control, std::uint64_t number) {
  const auto deadline = std::chrono::steady_clock::now() + kCopyLimit;
  while (std::chrono::steady_clock::now() < deadline) {
    if (co_await counted(control) > number) co_return true;
  }
  co_return false;
}

template <typename Fixture>
class CopyContract : public ::testing::Test {
 protected:
  Fixture fixture_;
};

TYPED_TEST_SUITE_P(CopyContract);

TYPED_TEST_P(CopyContract, ACopyCountsOnFromWhereItWasMade) {
  run_task([this]() -> Task<> {
    MachineSpec spec;
    spec.network_cards = {{NetworkCard::Backend::user, "52:54:00:12:34:56", -1}};
    Running source = co_await start_running(this->fixture_, spec);
    co_await wait_hello(*source.machine, *source.control);
    EXPECT_EQ(co_await ask(*source.control, "count 256"), "done");
    FrozenFiles files;
    const std::uint64_t before = co_await counted(*source.control);
    const Milliseconds stood = co_await copy_machine(this->fixture_, *source.machine, files, spec);
    const std::uint64_t after = co_await counted(*source.control);
    EXPECT_LT(stood, Milliseconds(5'000));
    EXPECT_GT(after, before);
    EXPECT_TRUE(co_await counts_beyond(*source.control, after));

    Running clone = co_await start_clone(this->fixture_, files, spec);
    const std::uint64_t of_clone = co_await counted(*clone.control);
    EXPECT_GT(of_clone, before);
    EXPECT_TRUE(co_await counts_beyond(*clone.control, of_clone));

    // A copy of a copy, and the first one once more.
    FrozenFiles second;
    const std::uint64_t clone_before = co_await counted(*clone.control);
    co_await copy_machine(this->fixture_, *clone.machine, second, spec);
    Running grandchild = co_await start_clone(this->fixture_, second, spec);
    EXPECT_TRUE(co_await counts_beyond(*grandchild.control, clone_before));
    EXPECT_TRUE(co_await counts_beyond(*clone.control, clone_before));
    FrozenFiles third;
    co_await copy_machine(this->fixture_, *source.machine, third, spec);
    Running brother = co_await start_clone(this->fixture_, third, spec);
    EXPECT_TRUE(co_await counts_beyond(*brother.control, after));
    EXPECT_TRUE(co_await counts_beyond(*source.control, after));
  });
}

TYPED_TEST_P(CopyContract, TheSourceIsAsItWas) {
  run_task([this]() -> Task<> {
    DiskFile base(kLayeredBytes, false);
    DiskFile overlay = DiskFile::overlay(kLayeredBytes);
    MachineSpec spec;
    spec.disks = {{base.fd(), false, "scratch"}};
    Running source = co_await start_running(this->fixture_, spec);
    co_await wait_hello(*source.machine, *source.control);
    EXPECT_EQ(co_await ask(*source.control, "write scratch 4096"), "written");
    FrozenFiles files;
    DiskFile placeholder(kLayeredBytes, false);
    MachineSpec receiver = spec;
    receiver.disks.front().fd = placeholder.fd();
    co_await copy_machine(this->fixture_, *source.machine, files, receiver, &overlay);
    const std::string at_copy = base.all();
    EXPECT_STREQ(base.read(4096, 14).c_str(), "berth was here");
    EXPECT_EQ(co_await ask(*source.control, "write scratch 8192"), "written");
    EXPECT_EQ(base.all(), at_copy);
    const UniqueFd layer = base.layer();
    co_await source.machine->seal_disk("scratch", layer.get());

    DiskFile own = DiskFile::overlay(kLayeredBytes);
    spec.disks = {{own.fd(), false, "scratch", DiskFormat::qcow2, {{layer.get(), DiskFormat::raw}}}};
    Running clone = co_await start_clone(this->fixture_, files, spec);
    EXPECT_EQ(co_await ask(*clone.control, "read scratch 4096"), "berth was here");
    EXPECT_EQ(co_await ask(*clone.control, "read scratch 8192"), "");
    EXPECT_EQ(co_await ask(*clone.control, "write scratch 12288"), "written");
    EXPECT_EQ(co_await ask(*source.control, "read scratch 8192"), "berth was here");
    EXPECT_EQ(co_await ask(*source.control, "read scratch 12288"), "");

    DiskFile more(kLayeredBytes, false);
    const Disk disk{more.fd(), false, "more"};
    co_await source.machine->add_disk(disk);
    EXPECT_EQ(co_await ask(*source.control, "await disk more"), "there");
    auto [ours, theirs] = make_socket_pair();
    EXPECT_EQ(co_await code_of(discard(source.machine->begin_copy(ours.get()))), Code::unsupported);
    co_await source.machine->remove_disk("more", kPlugLimit);
    const MachineStatistics statistics = co_await source.machine->statistics();
    EXPECT_EQ(statistics.disks.size(), 1u);
    co_await source.machine->pause();
    co_await source.machine->resume();
    co_await source.control->write_all("poweroff\n");
    EXPECT_EQ(co_await end_of(*source.machine), MachineEnd::Reason::powered_off);
  });
}

TYPED_TEST_P(CopyContract, ACopyThatIsGivenUpLeavesNothing) {
  run_task([this]() -> Task<> {
    const MachineSpec spec;
    Running source = co_await start_running(this->fixture_, spec);
    co_await wait_hello(*source.machine, *source.control);
    EXPECT_EQ(co_await ask(*source.control, "count 16"), "done");
    for (int steps = 0; steps < 3; ++steps) {
      FrozenFiles files;
      Receiver receiver = co_await start_receiver(this->fixture_, files, spec);
      std::unique_ptr<MachineCopy> copy = co_await source.machine->begin_copy(receiver.stream.get());
      receiver.stream.reset();
      auto [ours, theirs] = make_socket_pair();
      EXPECT_EQ(co_await code_of(discard(source.machine->begin_copy(ours.get()))), Code::busy);
      if (steps > 0) co_await copy->approach(kCopyLimit);
      if (steps > 1) co_await copy->stop();
      copy.reset();
      EXPECT_EQ(co_await code_of(receiver.machine->wait_received(kCopyLimit)), Code::unavailable);
      const std::uint64_t before = co_await counted(*source.control);
      EXPECT_TRUE(co_await counts_beyond(*source.control, before));
    }
    FrozenFiles files;
    co_await copy_machine(this->fixture_, *source.machine, files, spec);
    Running clone = co_await start_clone(this->fixture_, files, spec);
    EXPECT_TRUE(co_await counts_beyond(*clone.control, 0));
  });
}

TYPED_TEST_P(CopyContract, AReceiverThatGoesDoesNoHarm) {
  run_task([this]() -> Task<> {
    const MachineSpec spec;
    Running source = co_await start_running(this->fixture_, spec);
    co_await wait_hello(*source.machine, *source.control);
    EXPECT_EQ(co_await ask(*source.control, "count 16"), "done");
    for (int steps = 0; steps < 3; ++steps) {
      FrozenFiles files;
      Receiver receiver = co_await start_receiver(this->fixture_, files, spec);
      std::unique_ptr<MachineCopy> copy = co_await source.machine->begin_copy(receiver.stream.get());
      receiver.stream.reset();
      if (steps > 0) co_await copy->approach(kCopyLimit);
      if (steps > 1) co_await copy->stop();
      receiver.machine.reset();
      std::optional<Code> failure = co_await code_of(copy->stop());
      if (!failure) failure = co_await code_of(copy->finish());
      EXPECT_EQ(failure, Code::unavailable) << steps;
      const std::uint64_t before = co_await counted(*source.control);
      EXPECT_TRUE(co_await counts_beyond(*source.control, before));
    }
  });
}

TYPED_TEST_P(CopyContract, ACopyOutlivesItsMachine) {
  run_task([this]() -> Task<> {
    const MachineSpec spec;
    Running source = co_await start_running(this->fixture_, spec);
    FrozenFiles files;
    Receiver receiver = co_await start_receiver(this->fixture_, files, spec);
    const std::unique_ptr<MachineCopy> copy = co_await source.machine->begin_copy(receiver.stream.get());
    source.machine.reset();
    EXPECT_EQ(co_await code_of(copy->approach(kCopyLimit)), Code::wrong_state);
    EXPECT_EQ(co_await code_of(copy->stop()), Code::wrong_state);
    EXPECT_EQ(co_await code_of(copy->finish()), Code::wrong_state);
  });
}

REGISTER_TYPED_TEST_SUITE_P(CopyContract, ACopyCountsOnFromWhereItWasMade, TheSourceIsAsItWas,
                            ACopyThatIsGivenUpLeavesNothing, AReceiverThatGoesDoesNoHarm,
                            ACopyOutlivesItsMachine);

}  // namespace berth::hypervisor
