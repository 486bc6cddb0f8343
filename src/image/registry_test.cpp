#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/process.hpp"
#include "image/store.hpp"
#include "image/test_images.hpp"

namespace berth::image {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

bool connects(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

std::uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
  check(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

/// Debian's docker-registry on a loopback port, ended with the object.
class Registry {
 public:
  Registry(const fs::path& folder, bool password) : port_(free_port()), process_(start(folder, password)) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!connects(port_)) {
      if (process_.wait_for(std::chrono::milliseconds(20)))
        throw Error(Code::internal, "docker-registry ended");
      if (std::chrono::steady_clock::now() > deadline)
        throw Error(Code::timeout, "docker-registry does not answer");
    }
  }

  std::string name(const std::string& repository) const {
    return fmt::format("127.0.0.1:{}/{}", port_, repository);
  }

 private:
  Process start(const fs::path& folder, bool password) const {
    make_directories(folder);
    // The bcrypt of "open sesame".
    write_file_atomically(folder / "users",
                          "me:$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n");
    const std::string auth =
        password ? fmt::format("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", (folder / "users").string())
                 : "";
    write_file_atomically(
        folder / "config.yml",
        fmt::format("version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n"
                    "http: {{addr: \"127.0.0.1:{}\"}}\n{}",
                    (folder / "data").string(), port_, auth));
    ProcessSpec spec;
    spec.program = "docker-registry";
    spec.arguments = {"serve", (folder / "config.yml").string()};
    spec.standard_error = -1;
    return Process::spawn(spec);
  }

  std::uint16_t port_;
  Process process_;
};

class FromRegistry : public testing::Test {
 protected:
  void SetUp() override {
    if (!find_program("skopeo") || !find_program("docker-registry"))
      GTEST_SKIP() << "skopeo or docker-registry is not installed";
  }

  void push(const std::string& tag, const std::string& target, std::vector<std::string> options = {}) {
    ProcessSpec spec;
    spec.program = "skopeo";
    spec.arguments = {"--insecure-policy", "copy", "-q", "--dest-tls-verify=false"};
    spec.arguments.insert(spec.arguments.end(), options.begin(), options.end());
    spec.arguments.insert(spec.arguments.end(), {layout_.source(tag), "docker://" + target});
    run_checked(spec, std::chrono::seconds(60));
  }

  TempDir folder_{testing::TempDir(), "registry-"};
  TestLayout layout_{folder_.path() / "app"};
  Store store_{folder_.path() / "store"};
  TestImage image_{.layers = {make_tar({file("a", "1")}), make_tar({file("b", "2")})}};
};

TEST_F(FromRegistry, ByTagAndByDigest) {
  const Registry registry(folder_.path() / "registry", false);
  const std::string digest = layout_.add(image_, "v1");
  push("v1", registry.name("me/app:v1"));
  const Image image = store_.pull(registry.name("me/app:v1"));
  EXPECT_EQ(image.manifest_digest, digest);
  EXPECT_EQ(image.id, layout_.last_config);
  EXPECT_EQ(image.reference->familiar(), registry.name("me/app:v1"));
  EXPECT_EQ(store_.pull(registry.name("me/app@" + digest)).id, image.id);
  EXPECT_EQ(store_.get(registry.name("me/app@" + digest)).id, image.id);

  const Error tag = error_of([&] { store_.pull(registry.name("me/app:v2")); });
  EXPECT_EQ(tag.code(), Code::not_found) << tag.what();
  const Error name = error_of([&] { store_.pull(registry.name("nobody/app")); });
  EXPECT_EQ(name.code(), Code::not_found) << name.what();
  const Error other = error_of([&] { store_.pull(registry.name("me/app@" + digest_of("other"))); });
  EXPECT_EQ(other.code(), Code::not_found) << other.what();
}

TEST_F(FromRegistry, DockersOwnFormatKeepsItsDigests) {
  const Registry registry(folder_.path() / "registry", false);
  layout_.add(image_, "v1");
  const fs::path digest_file = folder_.path() / "digest";
  push("v1", registry.name("me/app:v1"), {"--format", "v2s2", "--digestfile", digest_file.string()});
  const Image image = store_.pull(registry.name("me/app:v1"));
  EXPECT_EQ(image.manifest_digest, read_file(digest_file));
  EXPECT_EQ(image.layers[0].diff_id, digest_of(image_.layers[0]));
  EXPECT_THAT(read_file(store_.blob_path(image.manifest_digest)), HasSubstr(std::string(kDockerManifest)));
}

TEST_F(FromRegistry, AnIndexGivesThisMachinesImage) {
  const Registry registry(folder_.path() / "registry", false);
  const std::string mine = layout_.add(image_, "");
  image_.architecture = "riscv64";
  layout_.add(image_, "");
  const std::string index = layout_.add_index("v1");
  push("v1", registry.name("app"), {"--all"});
  const Image image = store_.pull(registry.name("app"));
  EXPECT_EQ(image.manifest_digest, mine);
  EXPECT_EQ(image.source_digest, index);
  EXPECT_EQ(store_.get(registry.name("app@" + index)).id, image.id);
  EXPECT_EQ(store_.get(registry.name("app@" + mine)).id, image.id);
}

TEST_F(FromRegistry, LinesOfProgressGoWhereTheyAreWanted) {
  const Registry registry(folder_.path() / "registry", false);
  layout_.add(image_, "v1");
  push("v1", registry.name("app"));
  auto [reader, writer] = make_pipe();
  PullOptions options;
  options.progress = writer.get();
  store_.pull(registry.name("app"), options);
  writer.reset();
  EXPECT_THAT(read_all(reader.get()), HasSubstr("Copying blob " + layout_.last_layer));
}

TEST_F(FromRegistry, NeedsTheRightPassword) {
  const Registry registry(folder_.path() / "registry", true);
  layout_.add(image_, "v1");
  push("v1", registry.name("app"), {"--dest-creds", "me:open sesame"});
  const Error anonymous = error_of([&] { store_.pull(registry.name("app")); });
  EXPECT_THAT(anonymous.message(), HasSubstr("skopeo login 127.0.0.1:"));
  PullOptions options;
  options.username = "me";
  options.password = "wrong";
  const Error wrong = error_of([&] { store_.pull(registry.name("app"), options); });
  EXPECT_THAT(wrong.message(), HasSubstr("skopeo login 127.0.0.1:"));
  options.password = "open sesame";
  EXPECT_EQ(store_.pull(registry.name("app"), options).id, layout_.last_config);
}

TEST_F(FromRegistry, ABlobChangedThereIsRefused) {
  const Registry registry(folder_.path() / "registry", false);
  layout_.add(image_, "v1");
  push("v1", registry.name("app"));
  const std::string hex(hex_of(layout_.last_layer));
  const fs::path blob =
      folder_.path() / "registry/data/docker/registry/v2/blobs/sha256" / hex.substr(0, 2) / hex / "data";
  write_file_atomically(blob, std::string(fs::file_size(blob), 'x'));
  const Error error = error_of([&] { store_.pull(registry.name("app")); });
  EXPECT_EQ(error.code(), Code::corrupt) << error.what();
  EXPECT_TRUE(store_.list().empty());
  EXPECT_TRUE(fs::is_empty(store_.root() / "blobs/sha256"));
}

}  // namespace
}  // namespace berth::image
