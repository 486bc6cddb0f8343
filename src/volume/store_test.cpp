#include "volume/store.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "record/database.hpp"
#include "record/store.hpp"
#include "volume/disk.hpp"

namespace berth::volume {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Nanoseconds kNow{7};

struct VolumeStore : ::testing::Test {
  VolumeStore() : records(database) {}

  std::string make_pod(const std::string& name) {
    record::Pod pod;
    pod.executor.common.id = std::string(63, '0') + name;
    pod.executor.common.name = name;
    pod.executor.sessions[pod.id()].common.id = pod.id();
    records.create(pod);
    return pod.id();
  }
  Volume make(const std::string& name, std::optional<std::uint64_t> size = std::nullopt) {
    CreateOptions options;
    options.name = name;
    options.size = size;
    return store.create(options, kNow);
  }
  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const Volume& volume : store.list()) found.push_back(volume.name);
    return found;
  }
  std::size_t files() {
    std::size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder)) count += entry.path().extension() == ".img";
    return count;
  }

  TempDir directory{fs::temp_directory_path(), "volume-"};
  fs::path database = directory.path() / "records.db";
  fs::path folder = directory.path() / "volumes";
  record::Store records;
  Store store{database, folder};
};

TEST_F(VolumeStore, AVolumeIsASparseExt4ImageWithARow) {
  CreateOptions options;
  options.name = "data";
  options.labels = {{"a", "b"}, {"c", ""}};
  options.size = 64u << 20;
  const Volume made = store.create(options, kNow);
  EXPECT_EQ(made.id.size(), 16u);
  EXPECT_EQ(disk_serial(made.id).size(), 20u);
  EXPECT_FALSE(made.anonymous);
  const Volume volume = store.get("data");
  EXPECT_EQ(volume.id, made.id);
  EXPECT_EQ(volume.size, 64u << 20);
  EXPECT_EQ(volume.created, kNow.count());
  EXPECT_EQ(volume.labels, options.labels);
  struct stat info;
  ASSERT_EQ(::stat(store.image(made.id).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(info.st_size, 64 << 20);
  EXPECT_LT(info.st_blocks * 512, 2 << 20);
  ProcessSpec check;
  check.program = "e2fsck";
  check.arguments = {"-fn", store.image(made.id)};
  run_checked(check, std::chrono::milliseconds(60'000));
}

TEST_F(VolumeStore, MakingItAgainChangesNothing) {
  const Volume first = make("data");
  EXPECT_EQ(first.size, kDefaultBytes);
  EXPECT_EQ(make("data").id, first.id);
  EXPECT_EQ(make("data", kDefaultBytes).id, first.id);
  expect_error(Code::already_exists, "there is a volume data of 10GiB", [&] { make("data", 1u << 30); });
  EXPECT_THAT(names(), ElementsAre("data"));
  EXPECT_EQ(files(), 1u);
}

TEST_F(VolumeStore, BadNamesAndSizesMakeNothing) {
  for (const char* name : {"a", "-a", "a/b", "../x", "a b", ".x"}) {
    expect_error(Code::invalid_argument, "invalid volume name", [&] { make(name); });
  }
  for (const std::uint64_t size : {std::uint64_t{0}, kLeastBytes - 1, kMostBytes + 1, ~std::uint64_t{0}}) {
    expect_error(Code::invalid_argument, "cannot have", [&] { make("data", size); });
  }
  EXPECT_THAT(store.list(), IsEmpty());
  make("least", kLeastBytes);
}

TEST_F(VolumeStore, AFailureLeavesNothing) {
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{64u << 20, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  expect_error(Code::capacity, "make the volume data", [&] { make("data"); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(store.list(), IsEmpty());
  EXPECT_EQ(files(), 0u);
  make("data");
}

TEST_F(VolumeStore, AVolumeOfAContainerStays) {
  const std::string pod = make_pod("web");
  const Volume volume = store.attach(pod, "data", kNow);
  EXPECT_EQ(store.users(volume.id).front().name, "web");
  expect_error(Code::conflict, "in use by container web", [&] { store.remove("data"); });
  EXPECT_THAT(store.prune(true).names, IsEmpty());
  expect_error(Code::invalid_argument, "twice", [&] { store.attach(pod, "data", kNow); });
  store.disown(pod);
  records.remove(pod);
  store.sweep();
  EXPECT_THAT(names(), ElementsAre("data"));
  store.remove("data");
  expect_error(Code::not_found, "no such volume: data", [&] { store.remove("data"); });
  EXPECT_EQ(files(), 0u);
}

TEST_F(VolumeStore, AnonymousVolumesGoWithTheirContainerWhenTheyAreDisowned) {
  const std::string first = make_pod("a");
  const std::string second = make_pod("b");
  const Volume kept = store.attach(first, "", kNow);
  const Volume gone = store.attach(second, "", kNow);
  const Volume shared = store.attach(second, "", kNow);
  EXPECT_TRUE(kept.anonymous);
  EXPECT_THAT(kept.name, SizeIs(64));
  store.attach(first, shared.name, kNow);
  store.disown(second);
  EXPECT_FALSE(store.find(gone.name));
  store.sweep();
  EXPECT_EQ(files(), 3u) << "as long as the container is there";
  records.remove(second);
  store.sweep();
  EXPECT_EQ(files(), 2u);
  records.remove(first);
  store.sweep();
  EXPECT_THAT(store.list(), SizeIs(2)) << "nobody disowned them";
}

TEST_F(VolumeStore, PruneTakesWhatNobodyHas) {
  const std::string pod = make_pod("web");
  store.attach(pod, "used", kNow);
  const Volume anonymous = make("");
  make("named");
  const Pruned pruned = store.prune(false);
  EXPECT_THAT(pruned.names, ElementsAre(anonymous.name));
  EXPECT_GT(pruned.bytes, 0u);
  EXPECT_THAT(store.prune(true).names, ElementsAre("named"));
  EXPECT_THAT(names(), ElementsAre("used"));
}

TEST_F(VolumeStore, WhatWasCutOffIsClearedAway) {
  const Volume half = make("half");
  const Volume going = make("going");
  const Volume whole = make("whole");
  record::Database other(database);
  other.execute("UPDATE volumes SET intent = 'create' WHERE name = 'half'");
  other.execute("UPDATE volumes SET intent = 'remove' WHERE name = 'going'");
  fs::remove(store.image(going.id));
  EXPECT_FALSE(store.find("half"));
  EXPECT_THAT(names(), ElementsAre("whole"));
  EXPECT_EQ(files(), 1u);
  EXPECT_NE(make("half").id, half.id);
}

TEST_F(VolumeStore, OneOfAServerHasOptionsAndNoImage) {
  CreateOptions options;
  options.name = "shared";
  options.options = {{"type", "nfs"}, {"o", "addr=nas,ro"}, {"device", ":/srv"}};
  const Volume made = store.create(options, kNow);
  EXPECT_FALSE(made.is_disk());
  EXPECT_EQ(store.get("shared").options, options.options);
  EXPECT_EQ(store.create(options, kNow).id, made.id);
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(store.used_bytes(made.id), 0u);
  options.options["device"] = ":/other";
  expect_error(Code::already_exists, "other options", [&] { store.create(options, kNow); });
  options.options = {{"type", "nfs"}, {"o", "addr=nas,sec=krb5"}, {"device", ":/srv"}};
  options.name = "other";
  expect_error(Code::unsupported, "sec=sys", [&] { store.create(options, kNow); });
  options.options["o"] = "addr=nas";
  options.size = kLeastBytes;
  expect_error(Code::invalid_argument, "leave out size", [&] { store.create(options, kNow); });
  EXPECT_THAT(store.list(), SizeIs(1));
  store.remove("shared");
  EXPECT_THAT(store.list(), IsEmpty());
}

TEST_F(VolumeStore, ADatabaseOfVersionOneGetsItsTables) {
  const fs::path older = directory.path() / "older.db";
  {
    record::Database made(older);
    made.execute(
        "DROP TABLE disk_uses; DROP TABLE disk_layers; DROP TABLE volume_options; DROP TABLE volume_uses; "
        "DROP TABLE volume_labels; DROP TABLE volumes; "
        "PRAGMA user_version=1");
  }
  Store migrated(older, folder);
  CreateOptions options;
  options.name = "data";
  migrated.create(options, kNow);
  EXPECT_THAT(migrated.list(), SizeIs(1));
}

TEST_F(VolumeStore, AMakerThatIsKilledLeavesAllOrNothing) {
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      Store mine(database, folder);
      while (true) {
        CreateOptions options;
        options.name = "data";
        options.size = kLeastBytes;
        mine.create(options, kNow);
        mine.remove("data");
      }
    }
    const timespec pause{0, 3'000'000 + round * 2'000'000};
    ::nanosleep(&pause, nullptr);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::size_t listed = store.list().size();
    EXPECT_EQ(files(), listed);
  }
  make("data", kLeastBytes);
}

TEST_F(VolumeStore, ADiskIsHeldByOne) {
  const fs::path image = store.image(make("data").id);
  std::optional<Disk> held = take_disk(image, false);
  ASSERT_TRUE(held);
  EXPECT_FALSE(take_disk(image, false));
  EXPECT_FALSE(take_disk(image, true));
  UniqueFd of_machine = duplicate(held->file.get());
  held.reset();
  EXPECT_FALSE(take_disk(image, false)) << "a machine that outlives its launcher still writes to it";
  of_machine.reset();
  EXPECT_TRUE(take_disk(image, false));
}

TEST_F(VolumeStore, ADiskIsReadOnlyOnceItWasFilledAndUnmounted) {
  const fs::path image = store.image(make("data").id);
  const auto write_at = [&](off_t offset, unsigned char byte) {
    const UniqueFd file = open_file(image, O_RDWR);
    ASSERT_EQ(::pwrite(file.get(), &byte, 1, 1024 + offset), 1);
  };
  const UniqueFd disk = open_file(image, O_RDONLY);
  EXPECT_TRUE(is_unused(disk.get()));
  EXPECT_FALSE(take_disk(image, true)->read_only) << "never mounted";
  write_at(52, 1);
  EXPECT_FALSE(is_unused(disk.get()));
  EXPECT_TRUE(take_disk(image, true)->read_only);
  EXPECT_FALSE(take_disk(image, false)->read_only);
  const UniqueFd file = open_file(image, O_RDONLY);
  unsigned char features = 0;
  ASSERT_EQ(::pread(file.get(), &features, 1, 1024 + 96), 1);
  write_at(96, features | 4);
  EXPECT_FALSE(take_disk(image, true)->read_only) << "its journal is to be replayed";
  write_at(52, 0);
  write_at(56, 0);
  EXPECT_FALSE(is_unused(disk.get())) << "no ext4";
}

}  // namespace
}  // namespace berth::volume
