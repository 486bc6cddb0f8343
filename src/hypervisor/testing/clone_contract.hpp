#pragma once

// What every Hypervisor must do with frozen machines, as typed tests; see machine_contract.hpp.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/async.hpp"
#include "base/error.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/testing/machine_contract.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {

/// The files of a frozen machine.
struct FrozenFiles {
  DiskFile memory{MachineSpec().memory_bytes, false};
  DiskFile state{0, false};

  std::size_t hash() const { return std::hash<std::string>()(memory.all()); }
};

/// What starts machines whose guest is that of testing/main.cpp.
class MachineStarter {
 public:
  virtual ~MachineStarter() = default;
  virtual Task<std::unique_ptr<Machine>> start(MachineSpec spec) = 0;
};

/// A machine and the host's end of its control port.
struct Running {
  std::unique_ptr<Machine> machine;
  std::unique_ptr<Stream> control;
};

inline Task<Running> start_running(MachineStarter& starter, MachineSpec spec) {
  Running running;
  running.machine = co_await starter.start(std::move(spec));
  running.control =
      std::make_unique<Stream>(co_await asio::this_coro::executor, running.machine->take_port(Port::control));
  co_return running;
}

/// Boots a machine whose memory is in `files`, gives it the order, and freezes it.
inline Task<> make_frozen(MachineStarter& starter, FrozenFiles& files, MachineSpec spec, std::string order) {
  spec.memory_file = files.memory.fd();
  Running running = co_await start_running(starter, std::move(spec));
  co_await wait_hello(*running.machine, *running.control);
  EXPECT_EQ(co_await ask(*running.control, std::move(order)), "done");
  co_await running.machine->freeze(files.state.fd());
  co_await running.machine->quit(Milliseconds(10'000));
}

/// Another machine that goes on from there.
inline Task<Running> start_clone(MachineStarter& starter, FrozenFiles& files, MachineSpec spec) {
  const UniqueFd memory = files.memory.layer();
  const UniqueFd state = files.state.layer();
  spec.frozen = FrozenMachine{memory.get(), state.get()};
  co_return co_await start_running(starter, std::move(spec));
}

template <typename Fixture>
class CloneContract : public ::testing::Test {
 protected:
  Fixture fixture_;
};

TYPED_TEST_SUITE_P(CloneContract);

TYPED_TEST_P(CloneContract, ClonesGoOnEachForItself) {
  run_task([this]() -> Task<> {
    FrozenFiles files;
    co_await make_frozen(this->fixture_, files, MachineSpec(), "remember template");
    const std::size_t before = files.hash();
    Running first = co_await start_clone(this->fixture_, files, MachineSpec());
    Running second = co_await start_clone(this->fixture_, files, MachineSpec());
    EXPECT_EQ(co_await ask(*first.control, "recall"), "template");
    EXPECT_EQ(co_await ask(*first.control, "remember first"), "done");
    EXPECT_EQ(co_await ask(*second.control, "recall"), "template");
    EXPECT_EQ(co_await ask(*second.control, "remember second"), "done");
    EXPECT_EQ(co_await ask(*first.control, "recall"), "first");
    EXPECT_EQ(co_await ask(*second.control, "recall"), "second");
    EXPECT_EQ(files.hash(), before);
    Running third = co_await start_clone(this->fixture_, files, MachineSpec());
    EXPECT_EQ(co_await ask(*third.control, "recall"), "template");
    co_await third.control->write_all("poweroff\n");
    EXPECT_EQ(co_await end_of(*third.machine), MachineEnd::Reason::powered_off);
  });
}

TYPED_TEST_P(CloneContract, ClonesHaveDisksAndCardsOfTheirOwn) {
  run_task([this]() -> Task<> {
    FrozenFiles files;
    DiskFile placeholder(std::uint64_t{1} << 20, false);
    MachineSpec spec;
    spec.kernel_arguments = "-- hold";
    spec.disks = {{placeholder.fd(), false, "scratch"}};
    spec.network_cards = {{NetworkCard::Backend::none, "52:54:00:12:34:56", -1}};
    co_await make_frozen(this->fixture_, files, spec, "remember template");

    spec.network_cards.front().backend = NetworkCard::Backend::user;
    spec.forwards = {{PortForward::Protocol::tcp, "127.0.0.1", free_port(), 80}};
    DiskFile base(kLayeredBytes, false);
    DiskFile overlay = DiskFile::overlay(kLayeredBytes);
    const UniqueFd layer = base.layer();
    spec.disks = {{overlay.fd(), false, "scratch", DiskFormat::qcow2, {{layer.get(), DiskFormat::raw}}}};
    Running clone = co_await start_clone(this->fixture_, files, spec);
    EXPECT_EQ(co_await ask(*clone.control, "release"), "done");
    EXPECT_EQ(co_await ask(*clone.control, "await disk scratch"), "there");
    EXPECT_EQ(co_await ask(*clone.control, "await card 52:54:00:12:34:56"), "there");
    // Beyond the placeholder's end.
    EXPECT_EQ(co_await ask(*clone.control, "write scratch 12582912"), "written");
    EXPECT_EQ(co_await ask(*clone.control, "read scratch 12582912"), "berth was here");
    EXPECT_EQ(co_await code_of(clone.machine->add_forward(spec.forwards.front())), Code::already_exists);
    DiskFile more(kLayeredBytes, false);
    const Disk disk{more.fd(), false, "more"};
    co_await clone.machine->add_disk(disk);
    EXPECT_EQ(co_await ask(*clone.control, "await disk more"), "there");
    co_await clone.machine->remove_disk("more", kPlugLimit);
  });
}

TYPED_TEST_P(CloneContract, ADamagedStateStartsNothing) {
  run_task([this]() -> Task<> {
    FrozenFiles files;
    co_await make_frozen(this->fixture_, files, MachineSpec(), "remember template");
    const std::string whole = files.state.all();
    for (const std::size_t size : {std::size_t{0}, whole.size() / 2, whole.size() - 1}) {
      check(::ftruncate(files.state.fd(), static_cast<off_t>(size)), "ftruncate");
      EXPECT_EQ(co_await code_of(discard(start_clone(this->fixture_, files, MachineSpec()))), Code::corrupt)
          << size;
    }
  });
}

TYPED_TEST_P(CloneContract, OnlyAMachineWhoseMemoryIsAFileIsFrozen) {
  run_task([this]() -> Task<> {
    FrozenFiles files;
    Running running = co_await start_running(this->fixture_, MachineSpec());
    co_await wait_hello(*running.machine, *running.control);
    EXPECT_EQ(co_await code_of(running.machine->freeze(files.state.fd())), Code::wrong_state);
    EXPECT_EQ(co_await ask(*running.control, "remember on"), "done");
  });
}

REGISTER_TYPED_TEST_SUITE_P(CloneContract, ClonesGoOnEachForItself, ClonesHaveDisksAndCardsOfTheirOwn,
                            ADamagedStateStartsNothing, OnlyAMachineWhoseMemoryIsAFileIsFrozen);

}  // namespace berth::hypervisor
