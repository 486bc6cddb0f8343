#include "disk/store.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "hypervisor/qcow2.hpp"
#include "record/database.hpp"
#include "record/store.hpp"

namespace berth::disk {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kBytes = std::uint64_t{1} << 20;

struct DiskStore : ::testing::Test {
  static void make_raw(const fs::path& file) {
    const UniqueFd made = open_file(file, O_RDWR | O_CREAT | O_EXCL);
    check(::ftruncate(made.get(), kBytes), "ftruncate");
  }
  void create(const std::string& user) { store.create(user, kBytes, make_raw); }
  /// A fork as it goes when nothing fails; the layer that the copies share.
  Layer fork(const std::string& user, const std::vector<std::string>& copies = {}) {
    write(store.begin_overlay(user));
    const Layer layer = store.commit_overlay(user);
    store.copy(layer.id, copies);
    return layer;
  }
  /// As a machine does that had the guest write something.
  static void write(const Layer& overlay) {
    const UniqueFd file = open_file(overlay.file, O_RDWR);
    check(::pwrite(file.get(), "data", 4, 1 << 18), "pwrite");
  }
  std::vector<std::string> files() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }
  std::int64_t count(const char* table) {
    record::Database opened(database);
    record::Statement rows(opened, fmt::format("SELECT count(*) FROM {}", table).c_str());
    rows.step();
    return rows.integer(0);
  }
  void expect_nothing_left() {
    EXPECT_THAT(files(), IsEmpty());
    EXPECT_EQ(count("disk_layers"), 0);
    EXPECT_EQ(count("disk_uses"), 0);
  }
  std::vector<std::string> ids(const std::string& user) {
    const Disk disk = store.get(user);
    std::vector<std::string> found{disk.top.id};
    for (const Layer& layer : disk.below) found.push_back(layer.id);
    return found;
  }

  TempDir directory{fs::temp_directory_path(), "disk-"};
  fs::path database = directory.path() / "records.db";
  fs::path folder = directory.path() / "disks";
  Store store{database, folder};
};

TEST_F(DiskStore, AFirstDiskIsRawAndItsUsersOwn) {
  create("pod:a");
  const Disk disk = store.get("pod:a");
  EXPECT_EQ(disk.top.format, DiskFormat::raw);
  EXPECT_EQ(disk.top.bytes, kBytes);
  EXPECT_FALSE(disk.top.read_only);
  EXPECT_THAT(disk.below, IsEmpty());
  EXPECT_THAT(files(), ElementsAre(disk.top.id + ".raw"));
  EXPECT_EQ(Store::used_bytes(disk.top), 0u);
  expect_error(Code::already_exists, "", [&] { create("pod:a"); });
  expect_error(Code::not_found, "", [&] { store.get("pod:b"); });
  store.release("pod:b");
  store.release("pod:a");
  expect_nothing_left();
}

TEST_F(DiskStore, ADiskThatCannotBeMadeLeavesNothing) {
  const auto fail = [](const fs::path& file) {
    make_raw(file);
    throw Error(Code::capacity, "no space left");
  };
  expect_error(Code::capacity, "no space left", [&] { store.create("pod:a", kBytes, fail); });
  expect_nothing_left();
}

TEST_F(DiskStore, AnotherFileTakesThePlaceOfADisk) {
  create("pod:a");
  const fs::path file = store.get("pod:a").top.file;
  // What a killed one has left.
  write_file_atomically(file.string() + ".new", "half");
  store.replace("pod:a", [](const fs::path& made) {
    make_raw(made);
    Layer layer;
    layer.file = made;
    write(layer);
  });
  EXPECT_EQ(store.get("pod:a").top.file, file);
  EXPECT_EQ(read_file(file, kBytes).substr(1 << 18, 4), "data");
  const auto fail = [](const fs::path& made) {
    make_raw(made);
    throw Error(Code::capacity, "the disk is full");
  };
  expect_error(Code::capacity, "the disk is full", [&] { store.replace("pod:a", fail); });
  EXPECT_EQ(read_file(file, kBytes).substr(1 << 18, 4), "data");
  EXPECT_THAT(files(), SizeIs(1));
  expect_error(Code::not_found, "pod:b", [&] { store.replace("pod:b", make_raw); });
  store.release("pod:a");
  expect_nothing_left();
}

TEST_F(DiskStore, TakesOverADiskThatIsThere) {
  const fs::path old = directory.path() / "scratch.img";
  store.adopt("pod:a", old);
  expect_error(Code::not_found, "", [&] { store.get("pod:a"); });
  make_raw(old);
  store.adopt("pod:a", old);
  const Layer layer = store.get("pod:a").top;
  EXPECT_EQ(layer.bytes, kBytes);
  EXPECT_FALSE(fs::exists(old));
  // Killed between the row and the file.
  fs::rename(layer.file, old);
  store.adopt("pod:a", old);
  EXPECT_TRUE(fs::exists(layer.file));
  EXPECT_FALSE(fs::exists(old));
}

TEST_F(DiskStore, AForkSharesWhatWasWritten) {
  create("pod:a");
  const std::string first = store.get("pod:a").top.id;
  const Layer overlay = store.begin_overlay("pod:a");
  EXPECT_EQ(hypervisor::check_overlay(open_file(overlay.file, O_RDONLY).get()), kBytes);
  expect_error(Code::busy, "", [&] { store.begin_overlay("pod:a"); });
  const Layer shared = store.commit_overlay("pod:a", {"snapshot:s"});
  EXPECT_EQ(shared.id, first);
  EXPECT_TRUE(shared.read_only);
  expect_error(Code::wrong_state, "", [&] { store.commit_overlay("pod:a"); });
  store.copy(first, {"pod:b", "pod:c"});
  EXPECT_THAT(ids("pod:a"), ElementsAre(overlay.id, first));
  EXPECT_THAT(ids("pod:b"), ElementsAre(store.get("pod:b").top.id, first));
  EXPECT_THAT(ids("snapshot:s"), ElementsAre(first));
  EXPECT_NE(ids("pod:b").front(), ids("pod:c").front());
  EXPECT_THAT(files(), SizeIs(4));
  expect_error(Code::already_exists, "", [&] { store.copy(first, {"pod:d", "pod:b"}); });
  expect_error(Code::not_found, "", [&] { store.get("pod:d"); });
}

TEST_F(DiskStore, OnlyWhatIsReadOnlyIsShared) {
  create("pod:a");
  const std::string own = store.get("pod:a").top.id;
  expect_error(Code::not_found, "", [&] { store.hold(own, {"pod:b"}); });
  expect_error(Code::not_found, "", [&] { store.copy(own, {"pod:b"}); });
  const Layer shared = fork("pod:a");
  store.hold(shared.id, {"pod:b"});
  EXPECT_TRUE(store.get("pod:b").top.read_only);
  expect_error(Code::already_exists, "", [&] { store.hold(shared.id, {"pod:b"}); });
  // Who holds a layer may go on with an overlay of its own.
  store.copy(shared.id, {"pod:b"});
  EXPECT_FALSE(store.get("pod:b").top.read_only);
}

TEST_F(DiskStore, DeletingInAnyOrderFreesEveryByte) {
  std::vector<std::string> users{"pod:a", "pod:b", "pod:c", "pod:d", "snapshot:s"};
  int orders = 0;
  do {
    create("pod:a");
    const Layer first = fork("pod:a", {"pod:b"});
    fork("pod:b", {"pod:c"});
    fork("pod:a", {"pod:d"});
    store.hold(first.id, {"snapshot:s"});
    EXPECT_THAT(ids("pod:c"), SizeIs(3));
    for (const std::string& user : users) {
      store.release(user);
      // What is left is whole.
      for (const std::string& other : users) {
        try {
          const Disk disk = store.get(other);
          EXPECT_TRUE(fs::exists(disk.top.file));
          for (const Layer& layer : disk.below) EXPECT_TRUE(fs::exists(layer.file));
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), Code::not_found);
        }
      }
    }
    expect_nothing_left();
    ++orders;
    // Each of the five is the first and the last at some time.
    std::rotate(users.begin(), users.begin() + 1, users.end());
    if (orders % 5 == 0) std::next_permutation(users.begin() + 1, users.end());
  } while (orders < 15);
}

TEST_F(DiskStore, AChainHasAnEnd) {
  create("pod:a");
  for (std::size_t i = 0; i < hypervisor::kMostLayers; ++i) {
    store.begin_overlay("pod:a");
    store.commit_overlay("pod:a");
  }
  EXPECT_THAT(store.get("pod:a").below, SizeIs(hypervisor::kMostLayers));
  expect_error(Code::capacity, "room for no more", [&] { store.begin_overlay("pod:a"); });
  EXPECT_THAT(files(), SizeIs(hypervisor::kMostLayers + 1));
  store.release("pod:a");
  expect_nothing_left();
}

TEST_F(DiskStore, AnAbandonedOverlayGoes) {
  create("pod:a");
  store.begin_overlay("pod:a");
  store.abandon_overlay("pod:a");
  EXPECT_THAT(files(), SizeIs(1));
  EXPECT_FALSE(store.get("pod:a").top.read_only);
  fork("pod:a");
}

TEST_F(DiskStore, AMachinesEndBeforeItWroteUndoesTheStep) {
  create("pod:a");
  const std::string own = store.get("pod:a").top.id;
  const Layer overlay = store.begin_overlay("pod:a");
  Store(database, folder).settle("pod:a");
  EXPECT_THAT(ids("pod:a"), ElementsAre(own));
  EXPECT_FALSE(fs::exists(overlay.file));
  // The same when the file had not been made, or not to its end.
  for (const char* name : {"", ".new"}) {
    const Layer next = store.begin_overlay("pod:a");
    fs::rename(next.file, next.file.string() + name);
    if (*name == '\0') fs::remove(next.file);
    store.settle("pod:a");
    EXPECT_THAT(ids("pod:a"), ElementsAre(own));
    EXPECT_THAT(files(), SizeIs(1));
  }
  EXPECT_FALSE(store.get("pod:a").top.read_only);
}

TEST_F(DiskStore, WhatTheGuestWroteToAnOverlayIsKept) {
  create("pod:a");
  const std::string own = store.get("pod:a").top.id;
  const Layer overlay = store.begin_overlay("pod:a");
  write(overlay);
  Store(database, folder).settle("pod:a");
  EXPECT_THAT(ids("pod:a"), ElementsAre(overlay.id, own));
  store.settle("pod:a");
  EXPECT_THAT(ids("pod:a"), ElementsAre(overlay.id, own));
  store.release("pod:a");
  expect_nothing_left();
}

TEST_F(DiskStore, ACopyThatWasCutOffIsCompletedOrGoes) {
  create("pod:a");
  const Layer shared = fork("pod:a", {"pod:b", "pod:c"});
  for (const char* user : {"pod:b", "pod:c"}) fs::remove(store.get(user).top.file);
  store.settle("pod:b");
  EXPECT_TRUE(fs::exists(store.get("pod:b").top.file));
  store.settle("pod:nobody");
  for (const char* user : {"pod:a", "pod:b", "pod:c"}) store.release(user);
  expect_nothing_left();
}

TEST_F(DiskStore, ARemovalThatFailsIsCompletedByTheNext) {
  create("pod:a");
  create("pod:b");
  fork("pod:a");
  const fs::path file = store.get("pod:a").below.front().file;
  // A folder cannot be unlinked.
  fs::remove(file);
  fs::create_directory(file);
  EXPECT_THROW(store.release("pod:a"), Error);
  expect_error(Code::not_found, "", [&] { store.get("pod:a"); });
  EXPECT_EQ(count("disk_layers"), 3);
  fs::remove(file);
  store.release("pod:a");
  EXPECT_EQ(count("disk_layers"), 1);
  store.release("pod:b");
  expect_nothing_left();
}

TEST_F(DiskStore, ASweepTakesWhatNobodyHas) {
  record::Store records(database);
  record::Pod pod;
  pod.executor.common.id = std::string(64, '1');
  pod.executor.common.name = "kept";
  pod.executor.sessions[pod.id()].common.id = pod.id();
  records.create(pod);
  create(pod_user(pod.id()));
  create("pod:gone");
  fork("pod:gone");
  store.begin_overlay("pod:gone");
  create("snapshot:s");
  write_file_atomically(folder / "0123456789abcdef.qcow2", "stray");
  write_file_atomically(folder / "0123456789abcdef.qcow2.new", "stray");
  store.sweep();
  EXPECT_THAT(files(), SizeIs(2));
  store.release("snapshot:s");
  records.remove(pod.id());
  store.sweep();
  expect_nothing_left();
}

/// Forks, copies and removes without end.
[[noreturn]] void work(const fs::path& database, const fs::path& folder) {
  Store store(database, folder);
  for (int round = 0;; ++round) {
    try {
      store.settle("pod:a");
      DiskStore::write(store.begin_overlay("pod:a"));
      const Layer layer = store.commit_overlay("pod:a", {fmt::format("snapshot:{}", ::getpid())});
      store.copy(layer.id, {fmt::format("pod:{}-1", ::getpid()), fmt::format("pod:{}-2", ::getpid())});
      store.release(fmt::format("snapshot:{}", ::getpid()));
      for (const int copy : {1, 2}) store.release(fmt::format("pod:{}-{}", ::getpid(), copy));
    } catch (const Error& error) {
      if (error.code() != Code::capacity) ::_exit(1);
      store.release("pod:a");
      store.create("pod:a", kBytes, DiskStore::make_raw);
    }
  }
}

TEST_F(DiskStore, KilledAtAnyMomentEverythingCanBeFreed) {
  create("pod:a");
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) work(database, folder);
    ::usleep(static_cast<useconds_t>(3'000 + round * 1'700));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << round;
    store.settle("pod:a");
    try {
      const Disk disk = store.get("pod:a");
      for (const Layer& layer : disk.below) EXPECT_TRUE(fs::exists(layer.file));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::not_found);
      create("pod:a");
    }
    store.release(fmt::format("snapshot:{}", child));
  }
  store.sweep();
  expect_nothing_left();
}

}  // namespace
}  // namespace berth::disk
