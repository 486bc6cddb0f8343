#include "launcher/snapshots.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "disk/store.hpp"

namespace berth::launcher {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBytes = 4096;

struct SnapshotStoreTest : ::testing::Test {
  SnapshotStoreTest() {
    paths.data = folder.path();
    store.emplace(paths);
  }
  /// As a launcher makes it, with a layer of its own.
  Snapshot keep(const std::string& name) {
    SnapshotStore::Draft draft = store->begin(name, kBytes);
    check(::pwrite(draft.state.get(), "state", 5, 0), "pwrite");
    give_layer(name);
    Snapshot snapshot;
    snapshot.name = name;
    snapshot.memory_bytes = kBytes;
    snapshot.created = ++created;
    snapshot.guest = {{"key", std::string("any\0bytes", 9)}};
    snapshot.record = {{"other", "value"}};
    store->keep(std::move(draft), snapshot);
    return snapshot;
  }
  void give_layer(const std::string& name) {
    disks().create(Snapshot::disk_user(name), kBytes, [](const fs::path& file) {
      const UniqueFd made = open_file(file, O_RDWR | O_CREAT | O_EXCL);
      check(::ftruncate(made.get(), kBytes), "ftruncate");
    });
  }
  disk::Store disks() const { return disk::Store(paths.database(), paths.disks()); }
  std::vector<std::string> files(const fs::path& place) const {
    std::vector<std::string> names;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(place, missing)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  void damage(const std::string& name, const std::string& file, const std::string& content) {
    fs::remove(paths.snapshots() / name / file);
    write_file_atomically(paths.snapshots() / name / file, content);
  }

  TempDir folder{fs::temp_directory_path(), "snapshots-"};
  Paths paths;
  std::optional<SnapshotStore> store;
  std::int64_t created = 0;
};

using Names = std::vector<std::string>;

TEST_F(SnapshotStoreTest, KeepsListsAndRemoves) {
  EXPECT_TRUE(store->list().empty());
  const Snapshot first = keep("first");
  keep("second");
  keep(SnapshotStore::passing_name());
  const std::vector<Snapshot> listed = store->list();
  ASSERT_EQ(listed.size(), 2u) << "passing ones are nobody's to see";
  EXPECT_EQ(listed[0].name, "second");
  EXPECT_EQ(listed[1].guest, first.guest);
  EXPECT_EQ(listed[1].record, first.record);
  char state[8] = {};
  EXPECT_EQ(::read(store->open(listed[1]).state.get(), state, sizeof state), 5);
  store->remove("first");
  store->remove("first");
  EXPECT_FALSE(store->contains("first"));
  expect_error(Code::not_found, "first", [&] { store->get("first"); });
  EXPECT_EQ(files(paths.disks()).size(), 2u);
}

TEST_F(SnapshotStoreTest, ANameIsReservedOnce) {
  {
    FileLock lock = store->reserve("name");
    expect_error(Code::busy, "the snapshot name", [&] { store->reserve("name"); });
    keep("name");
    lock.remove_file();
  }
  expect_error(Code::already_exists, "name", [&] { store->reserve("name"); });
  EXPECT_EQ(files(paths.snapshots()), Names{"name"});
}

TEST_F(SnapshotStoreTest, WhatIsLeftOfOneIsRemovedAndMakesWay) {
  for (const bool reserved : {false, true}) {
    keep("name");
    keep("whole");
    std::filesystem::remove(paths.snapshots() / "name" / "snapshot.json");
    EXPECT_FALSE(store->contains("name"));
    EXPECT_TRUE(store->is_taken("name"));
    EXPECT_EQ(store->damaged(), Names{"name"});
    EXPECT_EQ(store->list().size(), 1u);
    if (reserved)
      store->reserve("name").remove_file();
    else
      store->remove("name");
    EXPECT_FALSE(store->is_taken("name"));
    EXPECT_TRUE(store->damaged().empty());
    store->remove("whole");
    EXPECT_TRUE(files(paths.snapshots()).empty());
    EXPECT_TRUE(files(paths.disks()).empty());
  }
}

TEST_F(SnapshotStoreTest, NamesThatCannotBe) {
  for (const char* name : {"", "x", ".fork-12", "a/b", "..", "name.lock", "name.draft"})
    expect_error(Code::invalid_argument, "name", [&] { SnapshotStore::check_name(name); });
  SnapshotStore::check_any_name(SnapshotStore::passing_name());
  expect_error(Code::invalid_argument, "name", [] { SnapshotStore::check_any_name(".fork-../x"); });
}

TEST_F(SnapshotStoreTest, AnAbandonedOneLeavesNothing) {
  store->begin("name", kBytes);
  give_layer("name");
  store->abandon("name");
  store->abandon("name");
  EXPECT_TRUE(files(paths.snapshots()).empty());
  EXPECT_TRUE(files(paths.disks()).empty());
}

TEST_F(SnapshotStoreTest, SweepsWhatKilledOnesHaveLeftOnly) {
  const std::string passing = SnapshotStore::passing_name();
  const std::string held = SnapshotStore::passing_name();
  for (const std::string& name : {std::string("kept"), passing}) {
    const FileLock lock = store->reserve(name);
    keep(name);
  }
  {
    const FileLock lock = store->reserve("half");
    store->begin("half", kBytes);
    give_layer("half");
  }
  const FileLock lock = store->reserve(held);
  keep(held);
  store->sweep();
  EXPECT_EQ(files(paths.snapshots()), (Names{held, held + ".lock", "kept"}));
  EXPECT_EQ(files(paths.disks()).size(), 2u);
}

/// Its command was killed, and its launcher does not know.
TEST_F(SnapshotStoreTest, ASweepLeavesWhatALauncherStillMakes) {
  const std::string passing = SnapshotStore::passing_name();
  for (const std::string& name : {std::string("kept"), passing}) {
    { const FileLock killed = store->reserve(name); }
    SnapshotStore::Draft draft = store->begin(name, kBytes);
    give_layer(name);
    store->sweep();
    EXPECT_EQ(files(paths.snapshots()), (Names{name + ".draft", name + ".lock"}));
    expect_error(Code::busy, "being made", [&] { store->reserve(name); });
    Snapshot snapshot;
    snapshot.name = name;
    snapshot.memory_bytes = kBytes;
    store->keep(std::move(draft), snapshot);
    EXPECT_TRUE(store->contains(name));
    store->abandon(name);
    EXPECT_EQ(files(paths.disks()).size(), 1u) << "a kept one lost its layer";
    store->remove_unless_reserved(name);
    EXPECT_EQ(store->contains(name), name != passing);
    EXPECT_EQ(files(paths.snapshots()).size(), name == passing ? 0u : 1u);
    store->remove(name);
    EXPECT_TRUE(files(paths.disks()).empty());
  }
}

TEST_F(SnapshotStoreTest, ASweepNeedsNoLockToFindWhatIsLeft) {
  keep(SnapshotStore::passing_name());
  keep("kept");
  store->begin("half", kBytes);
  store->sweep();
  EXPECT_EQ(files(paths.snapshots()), Names{"kept"});
}

TEST_F(SnapshotStoreTest, WhatIsInUseIsNotTakenAway) {
  const std::string name = SnapshotStore::passing_name();
  const FileLock lock = store->reserve(name);
  keep(name);
  store->remove_unless_reserved(name);
  EXPECT_TRUE(store->contains(name));
}

TEST_F(SnapshotStoreTest, ANameIsWaitedForWhileASweepLooksAtIt) {
  std::filesystem::create_directories(paths.snapshots());
  std::optional<FileLock> sweep = FileLock::try_acquire(paths.snapshots() / "name.lock");
  std::thread sweeper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    sweep.reset();
  });
  EXPECT_NO_THROW(store->reserve("name").remove_file());
  sweeper.join();
}

TEST_F(SnapshotStoreTest, TellsADamagedOne) {
  keep("name");
  const Snapshot good = store->get("name");
  for (const char* file : {"state", "memory"}) {
    damage("name", file, "other");
    expect_error(Code::corrupt, "name", [&] { store->open(good); });
    store->remove("name");
    keep("name");
  }
  for (const char* file : {"guest", "record", "snapshot.json"}) {
    damage("name", file, "x");
    expect_error(Code::corrupt, "name", [&] { store->get("name"); });
    store->remove("name");
    keep("name");
  }
}

}  // namespace
}  // namespace berth::launcher
