#include "launcher/disk_snapshot.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "hypervisor/fake/fake.hpp"
#include "launcher/pod_disk.hpp"

namespace berth::launcher {
namespace {

Task<std::optional<Code>> code_of(Task<> task) {
  try {
    co_await std::move(task);
  } catch (const Error& error) {
    co_return error.code();
  }
  co_return std::nullopt;
}

struct DiskSnapshotTest : ::testing::Test {
  DiskSnapshotTest() {
    paths.data = folder.path();
    pod.executor.common.id = std::string(64, 'a');
    store.emplace(paths.database(), paths.disks());
    store->create(user(), kBytes, [](const std::filesystem::path& file) {
      const UniqueFd made = open_file(file, O_RDWR | O_CREAT | O_EXCL);
      check(::ftruncate(made.get(), kBytes), "ftruncate");
    });
  }
  std::string user() const { return disk::pod_user(pod.id()); }

  /// Runs `body` with a machine that has the disk.
  void with_machine(const std::function<Task<>(hypervisor::Machine&)>& body) {
    asio::io_context loop;
    std::exception_ptr failure;
    asio::co_spawn(
        loop,
        [&]() -> Task<> {
          const PodDisk scratch = open_disk(paths, pod);
          hypervisor::MachineSpec spec;
          spec.disks = {scratch.disk};
          const auto machine = co_await hypervisor.start(spec);
          co_await body(*machine);
        },
        [&](std::exception_ptr thrown) { failure = thrown; });
    loop.run();
    if (failure) std::rethrow_exception(failure);
  }
  std::size_t files() const {
    const std::filesystem::directory_iterator entries(paths.disks());
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }
  /// As the guest does, past the header of an overlay.
  void write(const std::string& text) {
    const int fd = hypervisor.guests().back()->disk("scratch");
    check(::pwrite(fd, text.data(), text.size(), 8192), "pwrite");
  }
  static std::string read(const disk::Layer& layer) {
    std::string text(4, '\0');
    check(::pread(open_file(layer.file, O_RDONLY).get(), text.data(), text.size(), 8192), "pread");
    return text;
  }

  static constexpr std::uint64_t kBytes = std::uint64_t{1} << 20;
  TempDir folder{std::filesystem::temp_directory_path(), "disk-snapshot-"};
  Paths paths;
  record::Pod pod;
  std::optional<disk::Store> store;
  hypervisor::FakeHypervisor hypervisor;
};

TEST_F(DiskSnapshotTest, TheMachineGoesOnWithAnOverlay) {
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    write("old.");
    DiskSnapshot snapshot(paths, pod.id());
    expect_error(Code::wrong_state, "not taken", [&] { snapshot.commit(); });
    co_await machine.pause();
    co_await snapshot.take(machine);
    co_await machine.resume();
    const disk::Layer layer = snapshot.commit({"snapshot:s"});
    co_await snapshot.seal(machine);
    write("new.");
    EXPECT_EQ(read(layer), "old.");
    EXPECT_EQ(read(store->get(user()).top), "new.");
    EXPECT_EQ(store->get("snapshot:s").top.id, layer.id);
  });
  // A later machine, and a later snapshot.
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    DiskSnapshot snapshot(paths, pod.id());
    co_await snapshot.take(machine);
    EXPECT_EQ(snapshot.commit().format, hypervisor::DiskFormat::qcow2);
  });
  EXPECT_EQ(store->get(user()).below.size(), 2u);
  store->release(user());
  store->release("snapshot:s");
  EXPECT_EQ(files(), 0u);
}

TEST_F(DiskSnapshotTest, ADiskThatIsNotWrittenToGetsNoMoreLayers) {
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    std::string first;
    for (std::size_t i = 0; i <= hypervisor::kMostLayers; ++i) {
      const std::string copy = disk::pod_user(std::to_string(i));
      DiskSnapshot snapshot(paths, pod.id());
      co_await snapshot.take(machine);
      const disk::Layer layer = snapshot.commit({copy});
      co_await snapshot.seal(machine);
      if (first.empty()) first = layer.id;
      EXPECT_EQ(layer.id, first);
      EXPECT_EQ(store->get(copy).top.id, first);
    }
    EXPECT_EQ(store->get(user()).below.size(), 1u);
    write("new.");
    DiskSnapshot snapshot(paths, pod.id());
    co_await snapshot.take(machine);
    EXPECT_NE(snapshot.commit().id, first);
  });
  EXPECT_EQ(files(), 3u);
}

TEST_F(DiskSnapshotTest, OneThatIsNotTakenLeavesNothing) {
  with_machine([this](hypervisor::Machine&) -> Task<> {
    { const DiskSnapshot snapshot(paths, pod.id()); }
    EXPECT_EQ(files(), 1u);
    co_return;
  });
  EXPECT_TRUE(store->get(user()).below.empty());
}

TEST_F(DiskSnapshotTest, OneThatIsGivenUpIsFollowedByOthers) {
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    {
      DiskSnapshot snapshot(paths, pod.id());
      snapshot.give_up();
    }
    EXPECT_EQ(files(), 1u);
    write("old.");
    {
      DiskSnapshot snapshot(paths, pod.id());
      co_await snapshot.take(machine);
      snapshot.give_up();
    }
    write("new.");
    DiskSnapshot snapshot(paths, pod.id());
    co_await snapshot.take(machine);
    EXPECT_EQ(read(snapshot.commit({"snapshot:s"})), "new.");
  });
  EXPECT_EQ(store->get(user()).below.size(), 2u);
}

TEST_F(DiskSnapshotTest, AfterATimeoutTheMachineSaysWhetherItWasTaken) {
  for (const bool comes_about : {false, true}) {
    with_machine([&, this](hypervisor::Machine& machine) -> Task<> {
      write("old.");
      hypervisor::FakeGuest& guest = *hypervisor.guests().back();
      guest.next_snapshot_is_late = comes_about;
      const std::size_t layers = store->get(user()).below.size();
      {
        DiskSnapshot snapshot(paths, pod.id());
        EXPECT_EQ(co_await code_of(snapshot.take(machine)), Code::timeout);
        guest.is_silent = true;
        EXPECT_EQ(co_await code_of(snapshot.settle(machine)), Code::timeout);
        guest.is_silent = false;
        co_await snapshot.settle(machine);
        snapshot.give_up();
      }
      EXPECT_EQ(store->get(user()).below.size(), layers + (comes_about ? 1 : 0));
      write("new.");
      DiskSnapshot next(paths, pod.id());
      co_await next.take(machine);
      EXPECT_EQ(read(next.commit({comes_about ? "snapshot:1" : "snapshot:0"})), "new.");
    });
  }
  EXPECT_EQ(read(store->get(user()).below.front()), "new.");
}

TEST_F(DiskSnapshotTest, WhenTheMachineHasEndedTheNextStartPutsItRight) {
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    DiskSnapshot snapshot(paths, pod.id());
    co_await machine.quit(Milliseconds(1));
    std::optional<Code> code;
    try {
      co_await snapshot.take(machine);
    } catch (const Error& error) {
      code = error.code();
    }
    EXPECT_EQ(code, Code::wrong_state);
  });
  EXPECT_EQ(files(), 2u);
  open_disk(paths, pod);
  EXPECT_EQ(files(), 1u);
}

TEST_F(DiskSnapshotTest, WhatWasWrittenBeforeTheCommitIsKept) {
  with_machine([this](hypervisor::Machine& machine) -> Task<> {
    write("old.");
    DiskSnapshot snapshot(paths, pod.id());
    co_await snapshot.take(machine);
    write("new.");
  });
  const PodDisk opened = open_disk(paths, pod);
  EXPECT_EQ(opened.disk.backing.size(), 1u);
  EXPECT_EQ(read(store->get(user()).top), "new.");
}

}  // namespace
}  // namespace berth::launcher
