#include "record/store.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "base/error.hpp"
#include "base/expect_error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "record/database.hpp"

namespace berth::record {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// The 64 digits an id of that beginning has.
std::string id_of(std::string beginning) {
  beginning.resize(64, '0');
  return beginning;
}

Pod pod_of(const std::string& beginning, const std::string& name) {
  Pod pod;
  pod.executor.common.id = id_of(beginning);
  pod.executor.common.name = name;
  config::SessionConfig& session = pod.executor.sessions[pod.id()];
  session.common.id = pod.id();
  session.cmd.path = "/bin/sh";
  session.cmd.args = {"sh", "-c", "a | b"};
  session.cmd.env = {"PATH=/bin", "EMPTY="};
  pod.host.memory_bytes = 256u << 20;
  return pod;
}

PortBinding port_of(std::string address, std::uint16_t port, Protocol protocol = Protocol::tcp) {
  return {std::move(address), port, 80, protocol};
}

/// Runs `action` in a process of its own, which ends with 0 unless an exception leaves it.
template <typename Action>
pid_t start_process(Action action) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  try {
    action();
    ::_exit(0);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
    ::_exit(1);
  }
}

int wait_for_process(pid_t pid) {
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

struct RecordStore : ::testing::Test {
  TempDir directory{fs::temp_directory_path(), "record-"};
  fs::path path = directory.path() / "data" / "records.db";

  void make(Store& store, const std::string& beginning, const std::string& name,
            std::vector<PortBinding> ports = {}) {
    Pod pod = pod_of(beginning, name);
    pod.host.ports = std::move(ports);
    store.create(pod);
  }
};

TEST_F(RecordStore, GivesBackWhatWasStored) {
  Pod pod = pod_of("ab", "web");
  pod.host.status = Status::running;
  pod.host.cpus = 1.5;
  pod.host.error = "line\nbreak | and \"quotes\"";
  pod.host.command = {"sh", "-c", "", "x|y"};
  pod.host.ports = {port_of("", 8080), port_of("127.0.0.1", 53, Protocol::udp)};
  pod.host.launcher = {1234, 1u << 31};
  pod.executor.annotations["a.b/c"] = "d";
  {
    Store store(path);
    store.create(pod);
  }
  EXPECT_EQ(pod.generation, 1u);
  EXPECT_EQ(pod.host.user_slot, 0);
  Store store(path);
  const std::optional<Pod> found = store.find(pod.id());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->executor, pod.executor);
  EXPECT_EQ(found->host, pod.host);
  EXPECT_EQ(found->generation, 1u);
}

TEST_F(RecordStore, IsForItsOwnerOnly) {
  Store store(path);
  make(store, "ab", "web");
  for (const auto& file : fs::directory_iterator(path.parent_path())) {
    EXPECT_EQ(file.status().permissions(), fs::perms(0600)) << file.path();
  }
}

TEST_F(RecordStore, FindsByNameIdAndUniquePrefix) {
  Store store(path);
  make(store, "abc1", "web");
  make(store, "abc2", "abc");
  make(store, "dd", "abc1");
  EXPECT_EQ(store.get("web").id(), id_of("abc1"));
  EXPECT_EQ(store.get(id_of("abc2")).name(), "abc");
  EXPECT_EQ(store.get("d").name(), "abc1");
  EXPECT_EQ(store.get("abc2").name(), "abc");
  EXPECT_EQ(store.get("abc").id(), id_of("abc2")) << "a name comes before a prefix";
  EXPECT_EQ(store.get("abc1").id(), id_of("dd")) << "a name comes before a prefix";
  expect_error(Code::invalid_argument, "several containers", [&] { store.get("ab"); });
  expect_error(Code::not_found, "no such container: e", [&] { store.get("e"); });
  expect_error(Code::not_found, "no such container", [&] { store.get("abc%"); });
  expect_error(Code::not_found, "no such container", [&] { store.get(id_of("abc1") + "0"); });
  expect_error(Code::invalid_argument, "empty", [&] { store.get(""); });
  EXPECT_FALSE(store.find("abc1"));
}

TEST_F(RecordStore, ListsNewestFirst) {
  Store store(path);
  EXPECT_THAT(store.list(), IsEmpty());
  make(store, "3", "first");
  make(store, "1", "second");
  make(store, "2", "third");
  store.remove(id_of("2"));
  make(store, "0", "fourth");
  std::vector<std::string> names;
  for (const Pod& pod : store.list()) names.push_back(pod.name());
  EXPECT_THAT(names, ElementsAre("fourth", "second", "first"));
}

TEST_F(RecordStore, ATakenNameNamesItsHolderAndStoresNothing) {
  Store store(path);
  make(store, "ab", "web");
  expect_error(Code::already_exists, "\"web\" is in use by container ab0000000000",
               [&] { make(store, "cd", "web"); });
  expect_error(Code::already_exists, "already", [&] { make(store, "ab", "other"); });
  EXPECT_EQ(store.list().size(), 1u);

  make(store, "cd", "other");
  expect_error(Code::already_exists, "\"web\"",
               [&] { store.update(id_of("cd"), [](Pod& pod) { pod.executor.common.name = "web"; }); });
  store.update(id_of("cd"), [](Pod& pod) { pod.executor.common.name = "new"; });
  EXPECT_EQ(store.get("new").id(), id_of("cd"));
  make(store, "ef", "other");
}

TEST_F(RecordStore, CommitsDifferencesAtItsGeneration) {
  Store store(path);
  make(store, "ab", "web");
  Handle handle = store.handle(id_of("ab"));
  handle.pod.host.status = Status::running;
  handle.pod.host.command = {"a", "b"};
  handle.commit();
  EXPECT_EQ(handle.pod.generation, 2u);
  handle.pod.host.command.clear();
  handle.commit();
  EXPECT_EQ(handle.pod.generation, 3u);
  const Pod pod = store.get("web");
  EXPECT_EQ(pod.generation, 3u);
  EXPECT_EQ(pod.host.status, Status::running);
  EXPECT_THAT(pod.host.command, IsEmpty());
}

TEST_F(RecordStore, TheSecondOfTwoHandlesConflicts) {
  Store store(path);
  Store other(path);
  make(store, "ab", "web");
  Handle first = store.handle(id_of("ab"));
  Handle second = other.handle(id_of("ab"));
  first.pod.host.error = "first";
  second.pod.host.error = "second";
  first.commit();
  expect_error(Code::conflict, "changed by another", [&] { second.commit(); });
  EXPECT_EQ(store.get("web").host.error, "first");
  expect_error(Code::conflict, "changed by another", [&] { second.commit(); });

  Handle late = store.handle(id_of("ab"));
  store.remove(id_of("ab"));
  late.pod.host.error = "late";
  expect_error(Code::not_found, "no such container", [&] { late.commit(); });
  expect_error(Code::not_found, "no such container", [&] { store.handle(id_of("ab")); });
}

TEST_F(RecordStore, UpdateWithoutADifferenceKeepsTheGeneration) {
  Store store(path);
  make(store, "ab", "web");
  EXPECT_EQ(store.update(id_of("ab"), [](Pod&) {}).generation, 1u);
  EXPECT_EQ(store.update(id_of("ab"), [](Pod& pod) { pod.host.exit_code = 3; }).generation, 2u);
  EXPECT_EQ(store.get("web").generation, 2u);
}

TEST_F(RecordStore, AFailingChangeChangesNothing) {
  Store store(path);
  make(store, "ab", "web");
  expect_error(Code::wrong_state, "no", [&] {
    store.update(id_of("ab"), [](Pod& pod) {
      pod.host.exit_code = 3;
      throw Error(Code::wrong_state, "no");
    });
  });
  EXPECT_EQ(store.get("web").host.exit_code, 0);
  expect_error(Code::internal, "never change",
               [&] { store.update(id_of("ab"), [](Pod& pod) { pod.host.user_slot = 7; }); });
  EXPECT_EQ(store.update(id_of("ab"), [](Pod& pod) { pod.host.exit_code = 4; }).generation, 2u);
}

TEST_F(RecordStore, UserSlotsAreUniqueAndUsedAgain) {
  Store store(path);
  make(store, "a", "a");
  make(store, "b", "b");
  make(store, "c", "c");
  EXPECT_EQ(store.get("c").host.user_slot, 2);
  store.remove(id_of("b"));
  make(store, "d", "d");
  make(store, "e", "e");
  EXPECT_EQ(store.get("d").host.user_slot, 1);
  EXPECT_EQ(store.get("e").host.user_slot, 3);
  store.remove(id_of("a"));
  store.remove(id_of("a"));
  make(store, "f", "f");
  EXPECT_EQ(store.get("f").host.user_slot, 0);
}

TEST_F(RecordStore, IntentsAreKept) {
  Store store(path);
  make(store, "ab", "web");
  EXPECT_EQ(store.intent(id_of("ab")), Intent::create);
  store.set_intent(id_of("ab"), Intent::none);
  EXPECT_EQ(Store(path).intent(id_of("ab")), Intent::none);
  store.set_intent(id_of("ab"), Intent::remove);
  EXPECT_EQ(store.intent(id_of("ab")), Intent::remove);
  EXPECT_EQ(store.get("web").generation, 1u);
  expect_error(Code::not_found, "no such container", [&] { store.intent(id_of("cd")); });
  expect_error(Code::not_found, "no such container", [&] { store.set_intent(id_of("cd"), Intent::none); });
}

TEST_F(RecordStore, APortIsPublishedOnce) {
  Store store(path);
  make(store, "a", "web", {port_of("", 8080), port_of("127.0.0.1", 53, Protocol::udp)});
  const auto taken = [&](PortBinding port) {
    expect_error(Code::already_exists, "already published by container \"web\" (a00000000000)",
                 [&] { make(store, "b", "other", {port}); });
    expect_error(Code::already_exists, "web", [&] { store.check_ports(id_of("b"), {port}); });
  };
  taken(port_of("", 8080));
  taken(port_of("0.0.0.0", 8080));
  taken(port_of("10.0.0.1", 8080));
  taken(port_of("::1", 8080));
  taken(port_of("", 53, Protocol::udp));
  taken(port_of("0.0.0.0", 53, Protocol::udp));
  EXPECT_EQ(store.list().size(), 1u);
  store.check_ports(id_of("a"), {port_of("", 8080)});
  make(store, "b", "other",
       {port_of("", 8080, Protocol::udp), port_of("", 53), port_of("127.0.0.2", 53, Protocol::udp),
        port_of("", 8081), port_of("", 0)});
  make(store, "c", "free", {port_of("", 0)});
}

TEST_F(RecordStore, AnExitedContainerHoldsNoPortAndTakesItBackOnlyWhenFree) {
  Store store(path);
  make(store, "a", "one", {port_of("127.0.0.1", 80)});
  const auto set = [&](const char* id, Status status) {
    store.update(id_of(id), [&](Pod& pod) { pod.host.status = status; });
  };
  set("a", Status::exited);
  make(store, "b", "two", {port_of("0.0.0.0", 80)});
  expect_error(Code::already_exists, "\"two\"", [&] { set("a", Status::starting); });
  EXPECT_EQ(store.get("one").host.status, Status::exited);
  store.remove(id_of("b"));
  set("a", Status::starting);
  expect_error(Code::already_exists, "\"one\"", [&] { make(store, "c", "three", {port_of("::", 80)}); });
}

TEST_F(RecordStore, OneContainerCannotPublishAPortTwice) {
  Store store(path);
  expect_error(Code::invalid_argument, "0.0.0.0:80/tcp is published twice", [&] {
    make(store, "a", "web", {port_of("127.0.0.1", 80), port_of("0.0.0.0", 80)});
  });
}

TEST(PortBindings, OverlapByAddress) {
  EXPECT_TRUE(overlap(port_of("::1", 80), port_of("0:0::1", 80)));
  EXPECT_TRUE(overlap(port_of("::", 80), port_of("127.0.0.1", 80)));
  EXPECT_FALSE(overlap(port_of("0.0.0.0", 80), port_of("::1", 80)));
  EXPECT_FALSE(overlap(port_of("127.0.0.1", 80), port_of("127.0.0.1", 81)));
  EXPECT_EQ(to_string(port_of("", 80, Protocol::udp)), "0.0.0.0:80/udp");
  EXPECT_EQ(to_string(port_of("::1", 80)), "[::1]:80/tcp");
}

TEST_F(RecordStore, ProcessesChangeOneRecordWithoutLosingAnyChange) {
  constexpr int kProcesses = 4;
  constexpr int kChanges = 25;
  {
    Store store(path);
    make(store, "ab", "web");
  }
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    children.push_back(start_process([&] {
      Store store(path);
      for (int i = 0; i < kChanges; ++i) {
        store.update(id_of("ab"), [](Pod& pod) { ++pod.host.exit_code; });
      }
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_for_process(child), 0);
  const Pod pod = Store(path).get("web");
  EXPECT_EQ(pod.host.exit_code, kProcesses * kChanges);
  EXPECT_EQ(pod.generation, 1u + kProcesses * kChanges);
}

TEST_F(RecordStore, ProcessesOpenANewDatabaseTogetherAndShareSlotsAndNames) {
  constexpr int kProcesses = 6;
  constexpr int kEach = 10;
  std::vector<pid_t> children;
  for (int child = 0; child < kProcesses; ++child) {
    children.push_back(start_process([&, child] {
      for (int i = 0; i < kEach; ++i) {
        Store store(path);
        Pod pod = pod_of(fmt::format("{:x}{:03x}", child + 1, i), fmt::format("pod-{}-{}", child, i));
        store.create(pod);
        Pod shared = pod_of(fmt::format("f{:x}{:03x}", child + 1, i), fmt::format("shared-{}", i));
        try {
          store.create(shared);
        } catch (const Error& error) {
          if (error.code() != Code::already_exists) throw;
        }
      }
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_for_process(child), 0);
  std::set<std::int32_t> slots;
  const std::vector<Pod> pods = Store(path).list();
  for (const Pod& pod : pods) slots.insert(pod.host.user_slot);
  EXPECT_EQ(pods.size(), std::size_t{kProcesses * kEach + kEach});
  EXPECT_EQ(slots.size(), pods.size());
  EXPECT_EQ(*slots.rbegin(), static_cast<int>(pods.size()) - 1);
}

TEST_F(RecordStore, AKilledWriterLeavesTheOldOrTheNew) {
  {
    Store store(path);
    make(store, "ab", "web");
  }
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = start_process([&] {
      Store store(path);
      while (true) {
        store.update(id_of("ab"), [](Pod& pod) {
          ++pod.host.exit_code;
          pod.host.error = std::to_string(pod.host.exit_code);
          pod.host.command.assign(static_cast<std::size_t>(pod.host.exit_code % 50), "argument");
        });
      }
    });
    const timespec pause{0, static_cast<long>(random() % 20'000'000)};
    ::nanosleep(&pause, nullptr);
    ::kill(child, SIGKILL);
    wait_for_process(child);
    Store store(path);
    const Pod pod = store.get("web");
    ASSERT_EQ(pod.generation, static_cast<unsigned>(pod.host.exit_code) + 1);
    ASSERT_EQ(pod.host.error, pod.host.exit_code == 0 ? "" : std::to_string(pod.host.exit_code));
    ASSERT_EQ(pod.host.command.size(), static_cast<unsigned>(pod.host.exit_code) % 50);
  }
}

TEST_F(RecordStore, ANewerDatabaseIsRefused) {
  { Store store(path); }
  {
    Database database(path);
    database.execute("PRAGMA user_version=999");
  }
  expect_error(Code::unsupported, "use a newer berth", [&] { Store store(path); });
}

TEST_F(RecordStore, AForeignOrDamagedDatabaseIsRefused) {
  make_directories(path.parent_path());
  write_file_atomically(path,
                        "this is no database, however long it may go on and on, well beyond a hundred bytes "
                        "which is what SQLite reads first");
  expect_error(Code::corrupt, "is damaged", [&] { Store store(path); });

  fs::remove(path);
  sqlite3* foreign = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &foreign), SQLITE_OK);
  sqlite3_exec(foreign, "CREATE TABLE t(a)", nullptr, nullptr, nullptr);
  sqlite3_close(foreign);
  expect_error(Code::corrupt, "some other program", [&] { Store store(path); });

  fs::remove(path);
  fs::create_symlink("/etc/passwd", path);
  expect_error(Code::corrupt, "not a file", [&] { Store store(path); });
}

TEST_F(RecordStore, DamagedPagesAreAnErrorNotACrash) {
  {
    Store store(path);
    for (int i = 0; i < 50; ++i) make(store, fmt::format("{:02x}", i + 16), fmt::format("pod-{}", i));
  }
  const std::string whole = read_file(path);
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    std::string damaged = whole;
    const std::size_t page = 4096 * (1 + random() % (whole.size() / 4096 - 1));
    for (int i = 0; i < 64; ++i) damaged[page + random() % 512] = static_cast<char>(random());
    write_file_atomically(path, damaged);
    try {
      Store store(path);
      store.list();
      store.update(id_of("20"), [](Pod& pod) { ++pod.host.exit_code; });
      make(store, "ff", "new");
      store.remove(id_of("21"));
    } catch (const Error& error) {
      EXPECT_THAT(error.code(), ::testing::AnyOf(Code::corrupt, Code::not_found, Code::internal))
          << error.what();
    }
    fs::remove(path.string() + "-wal");
    fs::remove(path.string() + "-shm");
  }
}

TEST_F(RecordStore, ADamagedRecordNamesItself) {
  Store store(path);
  make(store, "ab", "web");
  Database(path).execute("UPDATE pairs SET value = 'much' WHERE key = 'host/cpus'");
  expect_error(Code::corrupt, "container ab0000000000", [&] { store.get("web"); });
  expect_error(Code::corrupt, "host/cpus", [&] { store.list(); });
  EXPECT_EQ(store.pairs("web").at("host/cpus"), "much");
  store.remove(id_of("ab"));
  EXPECT_THAT(store.list(), IsEmpty());
}

TEST_F(RecordStore, AnotherUsersDatabaseIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  { Store store(path); }
  ASSERT_EQ(::chown(path.c_str(), 1234, 1234), 0);
  expect_error(Code::invalid_argument, "belongs to user 1234", [&] { Store store(path); });
}

TEST_F(RecordStore, AFolderThatCannotBeWrittenIsAClearError) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  fs::permissions(directory.path(), fs::perms(0755));
  const pid_t child = start_process([&] {
    if (::setuid(65534) != 0) throw std::runtime_error("setuid");
    try {
      Store store(directory.path() / "records.db");
    } catch (const Error& error) {
      if (std::string(error.what()).find("records.db: Permission denied") != std::string::npos) return;
      throw;
    }
    throw std::runtime_error("no Error");
  });
  EXPECT_EQ(wait_for_process(child), 0);
}

TEST_F(RecordStore, AFullDiskIsACapacityErrorAndTheStoreGoesOn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small tmpfs";
  const fs::path small = directory.path() / "small";
  make_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=512k") != 0) GTEST_SKIP() << "cannot mount a tmpfs";
  {
    Store store(small / "records.db");
    make(store, "ab", "web");
    write_file_atomically(small / "ballast", std::string(200'000, 'b'));
    int made = 0;
    expect_error(Code::capacity, "no space left", [&] {
      for (; made < 1000; ++made) make(store, fmt::format("c{:03x}", made), fmt::format("pod-{}", made));
    });
    EXPECT_EQ(store.list().size(), 1u + static_cast<unsigned>(made));
    fs::remove(small / "ballast");
    store.update(id_of("ab"), [](Pod& pod) { pod.host.exit_code = 1; });
    EXPECT_EQ(store.get("web").host.exit_code, 1);
  }
  write_file_atomically(small / "ballast", "");
  {
    std::ofstream ballast(small / "ballast");
    while (ballast.write("bbbbbbbbbbbbbbbb", 16).flush()) {
    }
  }
  expect_error(Code::capacity, "", [&] { Store store(small / "other.db"); });
  EXPECT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace berth::record
