#include "image/manifest.hpp"

#include <gmock/gmock.h>

#include "image/test_images.hpp"

namespace berth::image {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const std::string kDigest = "sha256:" + std::string(64, 'a');

std::string manifest_text(const std::string& type, const std::string& config, const std::string& layer) {
  return fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":7}},)"
      R"("layers":[{{"mediaType":"{}","digest":"{}","size":9}}]}})",
      type, config, kDigest, layer, kDigest);
}

const std::string kOciConfig = "application/vnd.oci.image.config.v1+json";

TEST(Manifest, ReadsOciAndDocker) {
  for (const std::string ending : {"", "+gzip", "+zstd"}) {
    const Manifest oci = parse_manifest(manifest_text(std::string(kOciManifest), kOciConfig,
                                                      "application/vnd.oci.image.layer.v1.tar" + ending),
                                        "x");
    EXPECT_EQ(oci.config.size, 7u);
    ASSERT_EQ(oci.layers.size(), 1u);
    EXPECT_EQ(oci.layers[0].digest, kDigest);
  }
  const Manifest docker = parse_manifest(
      manifest_text(std::string(kDockerManifest), "application/vnd.docker.container.image.v1+json",
                    "application/vnd.docker.image.rootfs.diff.tar.gzip"),
      "x");
  EXPECT_EQ(docker.media_type, kDockerManifest);
}

TEST(Manifest, RefusesWhatIsNoContainerImage) {
  const std::string oci(kOciManifest);
  const std::string layer = "application/vnd.oci.image.layer.v1.tar";
  const std::vector<std::pair<std::string, Code>> bad{
      {"", Code::corrupt},
      {"[]", Code::corrupt},
      {"{}", Code::corrupt},
      {std::string(kManifestLimit + 1, ' '), Code::corrupt},
      {std::string(1000, '['), Code::corrupt},
      {R"({"schemaVersion":1,"fsLayers":[]})", Code::unsupported},
      {manifest_text("application/json", kOciConfig, layer), Code::unsupported},
      {manifest_text(oci, "application/vnd.cncf.helm.config.v1+json", layer), Code::unsupported},
      {manifest_text(oci, kOciConfig, layer + "+encrypted"), Code::unsupported},
      {R"({"config":{"mediaType":")" + kOciConfig +
           R"(","digest":"sha256:../../etc/passwd","size":1},"layers":[]})",
       Code::corrupt},
      {R"({"config":{"mediaType":")" + kOciConfig + R"(","digest":")" + kDigest +
           R"(","size":-1},"layers":[]})",
       Code::corrupt},
      {R"({"config":{"mediaType":")" + kOciConfig + R"(","digest":")" + kDigest +
           R"(","size":1},"layers":{}})",
       Code::corrupt},
  };
  for (const auto& [text, code] : bad)
    EXPECT_EQ(error_of([&, &document = text] { parse_manifest(document, "x"); }).code(), code)
        << text.substr(0, 200);
}

TEST(ImageConfig, ReadsTheSettings) {
  const ImageConfig config = parse_config(
      R"({"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z","config":{
          "Entrypoint":["/e"],"Cmd":["a","b"],"Env":["PATH=/bin","X=a=b"],"User":"1000:5","WorkingDir":"/w",
          "StopSignal":"SIGQUIT","Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}},"Labels":{"k":"v"},
          "Healthcheck":{"Test":["NONE"]},"ArgsEscaped":true},
          "rootfs":{"type":"layers","diff_ids":[")" +
          kDigest + R"("]},"history":[{}]})",
      "x");
  EXPECT_THAT(config.entrypoint, ElementsAre("/e"));
  EXPECT_THAT(config.cmd, ElementsAre("a", "b"));
  EXPECT_THAT(config.env, ElementsAre("PATH=/bin", "X=a=b"));
  EXPECT_EQ(config.user, "1000:5");
  EXPECT_EQ(config.working_dir, "/w");
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_THAT(config.volumes, ElementsAre("/data"));
  EXPECT_THAT(config.exposed_ports, ElementsAre("80/tcp"));
  EXPECT_THAT(config.labels, ElementsAre(Pair("k", "v")));
  EXPECT_EQ(config.healthcheck, R"({"Test":["NONE"]})");
  EXPECT_THAT(config.diff_ids, ElementsAre(kDigest));
}

TEST(ImageConfig, AcceptsNullAndAbsentMembers) {
  const ImageConfig config =
      parse_config(R"({"config":{"Entrypoint":null,"Cmd":null,"Env":null,"Volumes":null,"Labels":null},)"
                   R"("rootfs":{"diff_ids":[]}})",
                   "x");
  EXPECT_TRUE(config.cmd.empty());
  EXPECT_TRUE(parse_config(R"({"rootfs":{"diff_ids":[]}})", "x").env.empty());
}

TEST(ImageConfig, RefusesWrongTypes) {
  for (const std::string bad : {R"({})", R"({"rootfs":{}})", R"({"rootfs":{"diff_ids":["x"]}})",
                                R"({"config":{"Cmd":"sh"},"rootfs":{"diff_ids":[]}})",
                                R"({"config":{"Env":[1]},"rootfs":{"diff_ids":[]}})",
                                R"({"config":{"Env":["A=\u0000"]},"rootfs":{"diff_ids":[]}})",
                                R"({"config":[],"rootfs":{"diff_ids":[]}})"})
    EXPECT_EQ(error_of([&] { parse_config(bad, "x"); }).code(), Code::corrupt) << bad;
}

TEST(Index, SurvivesWritingAndReading) {
  Index index;
  index.manifests.push_back({std::string(kOciManifest), kDigest, 5, "amd64", "linux", {{"a", "b"}}});
  const Index again = parse_index(serialize_index(index), "x");
  ASSERT_EQ(again.manifests.size(), 1u);
  EXPECT_EQ(again.manifests[0].digest, kDigest);
  EXPECT_EQ(again.manifests[0].size, 5u);
  EXPECT_EQ(again.manifests[0].architecture, "amd64");
  EXPECT_THAT(again.manifests[0].annotations, ElementsAre(Pair("a", "b")));
  EXPECT_TRUE(is_index(serialize_index(index)));
}

TEST(Index, ChoosesThisMachinesImage) {
  Index index;
  index.manifests.push_back({"", kDigest, 1, "riscv64", "linux", {}});
  index.manifests.push_back({"", kDigest, 2, "unknown", "unknown", {}});
  const Error error = error_of([&] { choose_platform(index, "x"); });
  EXPECT_EQ(error.code(), Code::unsupported);
  EXPECT_THAT(error.message(), HasSubstr("linux/riscv64"));
  EXPECT_THAT(error.message(), HasSubstr(std::string(host_architecture())));
  index.manifests.push_back({"", kDigest, 3, std::string(host_architecture()), "linux", {}});
  EXPECT_EQ(choose_platform(index, "x").size, 3u);
}

TEST(ChainId, IsTheSpecifications) {
  const std::string a = digest_of("a");
  const std::string b = digest_of("b");
  EXPECT_EQ(chain_id({a}), a);
  EXPECT_EQ(chain_id({a, b}), digest_of(a + " " + b));
  EXPECT_NE(chain_id({a, b}), chain_id({b, a}));
}

}  // namespace
}  // namespace berth::image
