#include "hypervisor/templates.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/expect_error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMemoryBytes = 1u << 20;

class TemplateStoreTest : public testing::Test {
 protected:
  TemplateStoreTest() : base_("/tmp", "berth-templates-test-"), folder_(base_.path() / "templates") {}

  TemplateStore store(TemplateStore::Limits limits = {}) const { return TemplateStore(folder_, limits); }

  static TemplateInfo info(const std::string& id) {
    TemplateInfo info;
    info.id = id;
    info.cpus = 2;
    info.accelerator = "tcg";
    return info;
  }
  void make(const std::string& id, TemplateStore::Limits limits = {}) {
    TemplateStore templates = store(limits);
    std::optional<TemplateStore::Draft> draft = templates.begin(id, kMemoryBytes);
    ASSERT_TRUE(draft);
    ASSERT_EQ(::pwrite(draft->memory(), "memory", 6, 0), 6);
    write_all(draft->state(), "state of " + id);
    templates.keep(std::move(*draft), info(id), clock_);
  }
  /// Seconds since 1970-01-01 UTC.
  void set_last_use(const std::string& id, std::int64_t time) const {
    const timespec times[2] = {{time, 0}, {time, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ / id / "template.json").c_str(), times, 0), 0);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_))
      found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  void replace_in_info(const std::string& id, const std::string& word, const std::string& by) const {
    std::string text = read_file(folder_ / id / "template.json");
    const std::size_t at = text.find(word);
    ASSERT_NE(at, std::string::npos) << text;
    write_file_atomically(folder_ / id / "template.json", text.replace(at, word.size(), by));
  }

  TempDir base_;
  fs::path folder_;
  const std::string boot_id_{trim(read_file("/proc/sys/kernel/random/boot_id"))};
  ManualClock clock_{std::chrono::seconds(1'800'000'000)};
};

TEST_F(TemplateStoreTest, FindsWhatWasKept) {
  EXPECT_FALSE(store().find("a"));
  EXPECT_TRUE(store().list().empty());
  make("a");
  TemplateStore templates = store();
  EXPECT_TRUE(templates.contains("a"));
  const std::optional<Template> found = templates.find("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->id, "a");
  EXPECT_EQ(read_all(found->state.get()), "state of a");
  EXPECT_EQ(::fcntl(found->memory.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fs::file_size(folder_ / "a" / "memory"), kMemoryBytes);
  EXPECT_EQ(fs::status(folder_ / "a" / "memory").permissions(), fs::perms::owner_read);
  const std::vector<TemplateStore::Entry> list = templates.list();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_TRUE(list[0].usable);
  EXPECT_EQ(list[0].info.cpus, 2u);
  EXPECT_EQ(list[0].info.memory_bytes, kMemoryBytes);
  EXPECT_GT(list[0].bytes, 0u);
  EXPECT_LT(list[0].bytes, kMemoryBytes) << "holes count";
  EXPECT_EQ(names(), std::vector<std::string>{"a"});
}

TEST_F(TemplateStoreTest, AnImagesHasADisk) {
  TemplateStore templates = store();
  std::optional<TemplateStore::Draft> draft = templates.begin("a", kMemoryBytes);
  ASSERT_TRUE(draft);
  EXPECT_EQ(draft->disk(), -1);
  draft->add_disk([](const fs::path& file) { write_file_atomically(file, "as it was made"); });
  ASSERT_EQ(::pwrite(draft->disk(), "as the machine left it", 22, 0), 22);
  TemplateInfo of_image = info("a");
  of_image.image = "busybox";
  templates.keep(std::move(*draft), of_image, clock_);
  {
    const std::optional<Template> found = templates.find("a");
    ASSERT_TRUE(found);
    EXPECT_EQ(read_all(found->disk.get(), 100), "as the machine left it");
    EXPECT_EQ(templates.list().at(0).info.image, "busybox");
    EXPECT_EQ(fs::status(folder_ / "a/disk").permissions(), fs::perms(0400));
  }
  fs::last_write_time(folder_ / "a/disk", fs::file_time_type::clock::now() + std::chrono::seconds(1));
  EXPECT_FALSE(templates.find("a"));
  EXPECT_FALSE(fs::exists(folder_ / "a"));

  make("b");
  EXPECT_FALSE(templates.find("b")->disk);
}

TEST_F(TemplateStoreTest, IsMadeByOneAtATime) {
  TemplateStore templates = store();
  std::optional<TemplateStore::Draft> draft = templates.begin("a", kMemoryBytes);
  ASSERT_TRUE(draft);
  EXPECT_FALSE(store().begin("a", kMemoryBytes));
  EXPECT_TRUE(store().begin("b", kMemoryBytes));
  EXPECT_FALSE(templates.contains("a"));
  EXPECT_TRUE(templates.list().empty()) << "what is in the making does not count";
  EXPECT_TRUE(store().prune(true).empty());
  write_all(draft->state(), "state");
  templates.keep(std::move(*draft), info("a"), clock_);
  EXPECT_TRUE(store().find("a"));
}

TEST_F(TemplateStoreTest, ADraftThatIsNotKeptLeavesNothing) {
  store().begin("a", kMemoryBytes).reset();
  EXPECT_TRUE(names().empty());
}

TEST_F(TemplateStoreTest, WhatAKilledMakerLeftGoesWithTheNextOne) {
  for (const bool by_prune : {false, true}) {
    make_directories(folder_ / ".draft-a-123456");
    write_file_atomically(folder_ / ".draft-a-123456" / "memory", "half");
    write_file_atomically(folder_ / "a.lock", "");
    std::optional<TemplateStore::Draft> other = store().begin("b", kMemoryBytes);
    if (by_prune) {
      EXPECT_TRUE(store().prune(false).empty());
    } else {
      store().begin("a", kMemoryBytes).reset();
    }
    EXPECT_EQ(names().size(), 2u) << "the other maker's stays: its lock and its folder";
    other.reset();
    EXPECT_TRUE(names().empty());
  }
}

TEST_F(TemplateStoreTest, ADamagedOneIsNotFoundAndGoes) {
  const std::pair<const char*, std::function<void(const fs::path&)>> damages[] = {
      {"memory cut short", [](const fs::path& at) { fs::resize_file(at / "memory", kMemoryBytes / 2); }},
      {"memory written to",
       [](const fs::path& at) { fs::last_write_time(at / "memory", fs::file_time_type::clock::now()); }},
      {"memory gone", [](const fs::path& at) { fs::remove(at / "memory"); }},
      {"state cut short", [](const fs::path& at) { fs::resize_file(at / "state", 3); }},
      {"state changed",
       [](const fs::path& at) {
         const std::string old = read_file(at / "state");
         write_file_atomically(at / "state", std::string(old.size(), 'x'));
       }},
      {"state of another kind",
       [](const fs::path& at) {
         fs::remove(at / "state");
         fs::create_symlink("/etc/passwd", at / "state");
       }},
      {"description cut short", [](const fs::path& at) { fs::resize_file(at / "template.json", 20); }},
      {"description gone", [](const fs::path& at) { fs::remove(at / "template.json"); }},
      {"description of another", [&](const fs::path&) { replace_in_info("a", "\"a\"", "\"b\""); }},
      {"of another boot", [&](const fs::path&) { replace_in_info("a", boot_id_, "another"); }},
  };
  for (const auto& [what, damage] : damages) {
    SCOPED_TRACE(what);
    make("a");
    damage(folder_ / "a");
    EXPECT_FALSE(store().contains("a"));
    EXPECT_FALSE(store().find("a"));
    EXPECT_TRUE(names().empty());
    make("a");
    EXPECT_TRUE(store().find("a"));
  }
}

TEST_F(TemplateStoreTest, PruneRemovesThoseOfAnotherBootAndWithAllTheOthers) {
  make("a");
  make("b");
  replace_in_info("a", boot_id_, "another");
  const std::vector<TemplateStore::Entry> list = store().list();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_NE(list[0].usable, list[1].usable);
  EXPECT_EQ(store().prune(false), std::vector<std::string>{"a"});
  EXPECT_TRUE(store().prune(false).empty());
  EXPECT_EQ(store().prune(true), std::vector<std::string>{"b"});
  EXPECT_TRUE(names().empty());
}

TEST_F(TemplateStoreTest, BeyondTheLimitsTheLeastRecentlyUsedGo) {
  const TemplateStore::Limits limits{.count = 2, .bytes = 1u << 30};
  make("a", limits);
  make("b", limits);
  set_last_use("a", 1000);
  set_last_use("b", 2000);
  ASSERT_TRUE(store().find("a"));
  make("c", limits);
  EXPECT_EQ(names(), (std::vector<std::string>{"a", "c"}));
  make("d", {.count = 16, .bytes = 1});
  EXPECT_EQ(names(), std::vector<std::string>{"d"}) << "the newest stays whatever its size";
}

TEST_F(TemplateStoreTest, AfterFailuresItIsLeftAloneForEverLonger) {
  ManualClock clock(Nanoseconds(std::chrono::hours(1'000)));
  EXPECT_FALSE(store().backs_off("a", clock));
  for (const int minutes : {1, 2, 4, 8, 16, 32, 60, 60}) {
    store().note_failure("a", "no space", clock);
    EXPECT_FALSE(store().backs_off("b", clock));
    clock.advance(std::chrono::minutes(minutes) - std::chrono::seconds(1));
    ASSERT_TRUE(store().backs_off("a", clock)) << minutes;
    EXPECT_EQ(store().backs_off("a", clock)->reason, "no space");
    clock.advance(std::chrono::seconds(1));
    EXPECT_FALSE(store().backs_off("a", clock)) << minutes;
  }
  store().note_failure("a", "no space", clock);
  store().note_failure("b", "no space", clock);
  make("a");
  EXPECT_FALSE(store().backs_off("a", clock));
  EXPECT_TRUE(store().backs_off("b", clock));
  EXPECT_EQ(store().prune(false), std::vector<std::string>{});
  EXPECT_FALSE(store().backs_off("b", clock));
}

TEST_F(TemplateStoreTest, AFailureThatCouldNotBeDescribedCounts) {
  make_directories(folder_);
  write_file_atomically(folder_ / ".failed-a", "");
  EXPECT_TRUE(store().backs_off("a", SystemClock()));
  store().note_failure("a", "no space", SystemClock());
  EXPECT_EQ(store().backs_off("a", SystemClock())->count, 5);
}

TEST_F(TemplateStoreTest, IsReplacedByOneThatIsMadeAgain) {
  make("a");
  const std::optional<Template> old = store().find("a");
  make("a");
  ASSERT_TRUE(old);
  EXPECT_EQ(read_all(old->state.get()), "state of a") << "clones of the old one go on";
  EXPECT_TRUE(store().find("a"));
}

TEST_F(TemplateStoreTest, RemovesByIdOrItsBeginning) {
  make("abc");
  make("abd");
  expect_error(Code::not_found, "\"x\"", [&] { store().remove("x"); });
  expect_error(Code::not_found, "no template", [&] { store().remove(""); });
  expect_error(Code::invalid_argument, "several", [&] { store().remove("ab"); });
  EXPECT_EQ(store().remove("abc"), "abc");
  EXPECT_EQ(store().remove("a"), "abd");
  store().discard("abc");
  EXPECT_TRUE(names().empty());
}

TEST_F(TemplateStoreTest, WhatElseLiesThereIsNoTemplate) {
  make("a");
  write_file_atomically(folder_ / "note", "text");
  make_directories(folder_ / "empty");
  EXPECT_EQ(store().list().size(), 1u);
  EXPECT_FALSE(store().find("note"));
}

}  // namespace
}  // namespace berth::hypervisor
