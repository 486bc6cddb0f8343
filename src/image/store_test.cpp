#include "image/store.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <thread>

#include "base/process.hpp"
#include "image/test_images.hpp"
#include "image/test_main.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::string random_text(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 1;
  for (char& c : text) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

class Images : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("skopeo")) GTEST_SKIP() << "skopeo is not installed";
  }

  static std::size_t count(const fs::path& directory) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }
  std::size_t blobs() const { return count(store_.root() / "blobs/sha256"); }
  void expect_nothing_left() const {
    EXPECT_EQ(blobs(), 0u);
    EXPECT_EQ(count(store_.root() / "tmp"), 0u);
    EXPECT_EQ(count(store_.root() / "rootfs"), 0u);
    EXPECT_THAT(store_.list(), IsEmpty());
  }
  Error pull_error(const std::string& source) {
    return error_of([&] { store_.pull(source); });
  }

  TempDir folder_{testing::TempDir(), "images-"};
  TestLayout layout_{folder_.path() / "app"};
  Store store_{folder_.path() / "store"};
  TestImage image_{.layers = {make_tar({file("a", "1")}), make_tar({file("b", "2")})}};
};

TEST_F(Images, PullKeepsTheImage) {
  const std::string digest = layout_.add(image_, "v1");
  const Image image = store_.pull(layout_.source("v1"));
  EXPECT_EQ(image.reference->familiar(), "app:v1");
  EXPECT_EQ(image.manifest_digest, digest);
  EXPECT_EQ(image.source_digest, digest);
  EXPECT_EQ(image.id, layout_.last_config);
  EXPECT_THAT(image.config.cmd, ElementsAre("sh"));
  ASSERT_EQ(image.layers.size(), 2u);
  EXPECT_EQ(image.layers[0].diff_id, digest_of(image_.layers[0]));
  EXPECT_EQ(digest_of_file(store_.blob_path(image.layers[1].digest)), image.layers[1].digest);
  EXPECT_EQ(format_time(image.created).substr(0, 19), "2024-05-06T07:08:09");
  EXPECT_EQ(blobs(), 4u);
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);

  const Store again(store_.root());
  for (const std::string& name : {std::string("app:v1"), std::string("docker.io/library/app:v1"), image.id,
                                  image.id.substr(7), image.id.substr(7, 12), "app@" + digest})
    EXPECT_EQ(again.get(name).id, image.id) << name;
  EXPECT_EQ(again.find("app"), std::nullopt);
  EXPECT_EQ(again.find("other:v1"), std::nullopt);
  const Error missing = error_of([&] { again.get("app:v2"); });
  EXPECT_EQ(missing.code(), Code::not_found);
  EXPECT_THAT(missing.message(), HasSubstr("berth pull app:v2"));
  EXPECT_EQ(error_of([&] { again.find("App"); }).code(), Code::invalid_argument);
}

TEST_F(Images, EveryCompressionIsKeptAsItIs) {
  for (const Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
    image_.compression = compression;
    const std::string digest = layout_.add(image_, "c" + std::to_string(static_cast<int>(compression)));
    EXPECT_EQ(
        store_.pull(layout_.source("c" + std::to_string(static_cast<int>(compression)))).manifest_digest,
        digest);
  }
}

TEST_F(Images, ANewImageTakesTheNameAndSharesLayers) {
  layout_.add(image_, "old");
  TestLayout newer(folder_.path() / "newer/app");
  const Image first = store_.pull(layout_.source("old"));
  image_.layers.push_back(make_tar({file("c", "3")}));
  newer.add(image_, "old");
  const Image second = store_.pull(newer.source("old"));
  EXPECT_EQ(store_.get("app:old").id, second.id);
  EXPECT_EQ(store_.get(first.id).reference, std::nullopt);
  EXPECT_EQ(store_.list().size(), 2u);
  EXPECT_EQ(blobs(), 4u + 3u);

  store_.pull(newer.source("old"));
  EXPECT_EQ(store_.list().size(), 2u) << "the same image again changes nothing";

  const Removed removed = store_.remove(first.id.substr(7, 12));
  EXPECT_THAT(removed.untagged, IsEmpty());
  EXPECT_THAT(removed.deleted, ElementsAre(first.id));
  EXPECT_EQ(blobs(), 5u) << "shared layers stay";
  store_.remove("app:old");
  expect_nothing_left();
}

TEST_F(Images, SeveralNamesOfOneImage) {
  layout_.add(image_, "one");
  layout_.add(image_, "two");
  const std::string id = store_.pull(layout_.source("one")).id;
  store_.pull(layout_.source("two"));
  EXPECT_EQ(blobs(), 4u);
  EXPECT_EQ(error_of([&] { store_.remove(id); }).code(), Code::conflict);
  EXPECT_EQ(error_of([&] { store_.remove("app:three"); }).code(), Code::not_found);
  const Removed one = store_.remove("app:one");
  EXPECT_THAT(one.untagged, ElementsAre("app:one"));
  EXPECT_THAT(one.deleted, IsEmpty());
  store_.pull(layout_.source("one"));
  const Removed all = store_.remove(id, true);
  EXPECT_THAT(all.untagged, UnorderedElementsAre("app:one", "app:two"));
  EXPECT_THAT(all.deleted, ElementsAre(id));
  expect_nothing_left();
}

TEST_F(Images, RefusesDamage) {
  layout_.add(image_, "x");
  write_file_atomically(layout_.blob(layout_.last_layer), "changed");
  EXPECT_EQ(pull_error(layout_.source("x")).code(), Code::corrupt);
  expect_nothing_left();
  fs::remove(layout_.blob(layout_.last_layer));
  EXPECT_EQ(pull_error(layout_.source("x")).code(), Code::corrupt);
  expect_nothing_left();
  write_file_atomically(layout_.blob(layout_.last_config), "{}");
  EXPECT_EQ(pull_error(layout_.source("x")).code(), Code::corrupt);
  expect_nothing_left();
}

TEST_F(Images, ADamagedBlobOfTheStoreIsReplaced) {
  layout_.add(image_, "x");
  const Image image = store_.pull(layout_.source("x"));
  write_file_atomically(store_.blob_path(image.layers[0].digest), std::string(image.layers[0].size, 'x'));
  store_.pull(layout_.source("x"));
  EXPECT_EQ(digest_of_file(store_.blob_path(image.layers[0].digest)), image.layers[0].digest);
  write_file_atomically(store_.blob_path(image.manifest_digest), "nonsense");
  EXPECT_EQ(error_of([&] { store_.get("app:x"); }).code(), Code::corrupt);
  EXPECT_THAT(store_.list(), IsEmpty());
  store_.pull(layout_.source("x"));
  EXPECT_EQ(store_.get("app:x").id, image.id);
}

TEST_F(Images, RefusesAnotherArchitecture) {
  image_.architecture = "riscv64";
  layout_.add(image_, "x");
  const Error error = pull_error(layout_.source("x"));
  EXPECT_EQ(error.code(), Code::unsupported);
  EXPECT_THAT(error.message(), HasSubstr("linux/riscv64"));
  EXPECT_THAT(error.message(), HasSubstr("linux/" + std::string(host_architecture())));
  expect_nothing_left();
}

TEST_F(Images, AnIndexGivesThisMachinesImage) {
  const std::string mine = layout_.add(image_, "");
  const std::string config = layout_.last_config;
  image_.architecture = "riscv64";
  layout_.add(image_, "");
  const std::string index = layout_.add_index("x");
  const Image image = store_.pull(layout_.source("x"));
  EXPECT_EQ(image.manifest_digest, mine);
  EXPECT_EQ(image.id, config);
  EXPECT_EQ(image.source_digest, index);

  TestLayout foreign(folder_.path() / "foreign");
  foreign.add(image_, "");
  foreign.add_index("x");
  const Error error = pull_error(foreign.source("x"));
  EXPECT_EQ(error.code(), Code::unsupported);
  EXPECT_THAT(error.message(), HasSubstr("only for linux/riscv64"));
}

TEST_F(Images, BadSourcesAreNamed) {
  layout_.add(image_, "x");
  EXPECT_EQ(pull_error(layout_.source("y")).code(), Code::not_found);
  EXPECT_EQ(pull_error("oci:/nowhere").code(), Code::not_found);
  EXPECT_EQ(pull_error("No/Name").code(), Code::invalid_argument);
  EXPECT_EQ(pull_error("localhost:1/app").code(), Code::unavailable);
  expect_nothing_left();
}

TEST_F(Images, ManyPullsAtOnce) {
  std::vector<std::string> sources;
  for (int i = 0; i < 4; ++i) {
    image_.layers[1] = make_tar({file("b", std::to_string(i / 2))});
    layout_.add(image_, "t" + std::to_string(i));
    sources.push_back(layout_.source("t" + std::to_string(i)));
  }
  std::vector<std::thread> threads;
  for (const std::string& source : sources)
    threads.emplace_back([&, source] {
      Store own(store_.root());
      own.pull(source);
      own.get("app:" + source.substr(source.rfind(':') + 1));
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store_.list().size(), 4u);
  EXPECT_EQ(blobs(), 3u + 2u * 2u);
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);
}

TEST_F(Images, WhatAKilledPullLeftIsRemovedByTheNext) {
  layout_.add(image_, "x");
  // A registry that takes connections and never answers.
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);

  ProcessSpec spec;
  spec.program = "/proc/self/exe";
  spec.arguments = {kPullCommand, store_.root().string(),
                    fmt::format("127.0.0.1:{}/app", ntohs(address.sin_port))};
  Process pulling = Process::spawn(spec);
  pollfd wanted{listener.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&wanted, 1, 30000), 1);
  const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_EQ(count(store_.root() / "tmp"), 1u);

  pulling.signal(SIGKILL);
  pulling.wait();
  // skopeo dies with it: its end of the connection closes.
  wanted = {connection.get(), POLLIN, 0};
  char buffer[4096];
  ssize_t received = 1;
  while (received > 0 && ::poll(&wanted, 1, 30000) == 1)
    received = ::read(connection.get(), buffer, sizeof buffer);
  EXPECT_LE(received, 0);
  EXPECT_EQ(count(store_.root() / "tmp"), 1u);

  write_file_atomically(store_.root() / "index.json.abcdef", "half");
  store_.pull(layout_.source("x"));
  EXPECT_EQ(count(store_.root() / "tmp"), 0u);
  EXPECT_FALSE(fs::exists(store_.root() / "index.json.abcdef"));
}

TEST_F(Images, APullHasADeadline) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  PullOptions options;
  options.limit = std::chrono::milliseconds(300);
  const Error error =
      error_of([&] { store_.pull(fmt::format("127.0.0.1:{}/app", ntohs(address.sin_port)), options); });
  EXPECT_EQ(error.code(), Code::timeout);
  expect_nothing_left();
}

TEST_F(Images, AFullDiskLeavesNothing) {
  const fs::path small = folder_.path() / "small";
  make_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "cannot mount a small tmpfs";
  image_.layers.push_back(make_tar({file("big", random_text(4 << 20))}));
  layout_.add(image_, "x");
  {
    Store store(small / "store");
    const Error error = error_of([&] { store.pull(layout_.source("x")); });
    EXPECT_EQ(error.code(), Code::capacity) << error.what();
    EXPECT_EQ(count(store.root() / "blobs/sha256"), 0u);
    EXPECT_EQ(count(store.root() / "tmp"), 0u);
  }
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(Images, ArchivesOfBothKinds) {
  layout_.add(image_, "x");
  const auto convert = [&](const std::string& target) {
    ProcessSpec spec;
    spec.program = "skopeo";
    spec.arguments = {"--insecure-policy", "copy", "-q", layout_.source("x"), target};
    run_checked(spec, std::chrono::seconds(60));
  };
  const std::string oci = (folder_.path() / "one.tar").string();
  convert("oci-archive:" + oci + ":docker.io/me/one:1");
  EXPECT_EQ(store_.pull("oci-archive:" + oci).reference->familiar(), "me/one:1");
  const std::string docker = (folder_.path() / "two.tar").string();
  convert("docker-archive:" + docker + ":me/two:2");
  const Image image = store_.pull("docker-archive:" + docker);
  EXPECT_EQ(image.reference->familiar(), "me/two:2");
  EXPECT_EQ(image.layers[0].diff_id, digest_of(image_.layers[0]));
  EXPECT_EQ(digest_of(read_file(store_.blob_path(image.id))), image.id);
}

}  // namespace
}  // namespace berth::image
