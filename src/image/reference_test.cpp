#include "image/reference.hpp"

#include <gmock/gmock.h>

#include "image/test_images.hpp"

namespace berth::image {
namespace {

using testing::HasSubstr;

const std::string kDigest = "sha256:" + std::string(64, 'a');

struct Spelling {
  std::string text;
  std::string full;
  std::string familiar;
};

TEST(Reference, IsNormalisedAsDockerDoes) {
  const std::vector<Spelling> spellings{
      {"busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
      {"me/app", "docker.io/me/app:latest", "me/app:latest"},
      {"docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"},
      {"docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"},
      {"localhost/app", "localhost/app:latest", "localhost/app:latest"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest", "127.0.0.1:5000/a/b/c:latest"},
      {"[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest"},
      {"quay.io/a__b/c-d.e---f:T_1.2-3", "quay.io/a__b/c-d.e---f:T_1.2-3", "quay.io/a__b/c-d.e---f:T_1.2-3"},
      {"busybox@" + kDigest, "docker.io/library/busybox@" + kDigest, "busybox@" + kDigest},
      {"busybox:1@" + kDigest, "docker.io/library/busybox:1@" + kDigest, "busybox:1@" + kDigest},
      {"Registry/app", "Registry/app:latest", "Registry/app:latest"},
  };
  for (const Spelling& spelling : spellings) {
    const Reference reference = parse_reference(spelling.text);
    EXPECT_EQ(reference.full(), spelling.full) << spelling.text;
    EXPECT_EQ(reference.familiar(), spelling.familiar) << spelling.text;
    EXPECT_EQ(parse_reference(reference.full()), reference);
    EXPECT_EQ(parse_reference(reference.familiar()), reference);
  }
}

TEST(Reference, SaysWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {"", "empty"},
      {"Busybox", "lower case"},
      {"docker.io/Busybox", "lower case"},
      {":tag", "name is missing"},
      {"docker.io/", "name is missing"},
      {"busybox:", "a tag is"},
      {"busybox:.x", "a tag is"},
      {"busybox:" + std::string(129, 'x'), "a tag is"},
      {"busybox@sha256:12", "the digest"},
      {"busybox@" + kDigest + "0", "the digest"},
      {"busybox@sha512:" + std::string(128, 'a'), "the digest"},
      {"a//b", "must be lower-case letters"},
      {"-a", "must be lower-case letters"},
      {"a-", "must be lower-case letters"},
      {"a___b", "must be lower-case letters"},
      {"a..b", "must be lower-case letters"},
      {"a b", "must be lower-case letters"},
      {"b\xc3\xbcx", "must be lower-case letters"},
      {"../etc/passwd", "no registry"},
      {"-bad.io/x", "no registry"},
      {"host:port/x", "no registry"},
      {"[::1/x", "no registry"},
      {std::string(64, 'a'), "image id"},
      {"a/" + std::string(300, 'b'), "255"},
      {std::string("a\0b", 3), "must be lower-case letters"},
  };
  for (const auto& [text, why] : bad) {
    const Error error = error_of([&, &name = text] { parse_reference(name); });
    EXPECT_EQ(error.code(), Code::invalid_argument) << text;
    EXPECT_THAT(error.message(), HasSubstr(why)) << text;
    EXPECT_EQ(find_reference(text), std::nullopt);
  }
}

TEST(Source, Spellings) {
  EXPECT_EQ(parse_source("busybox").skopeo_name(), "docker://docker.io/library/busybox:latest");
  EXPECT_EQ(parse_source("docker://quay.io/a/b:1").skopeo_name(), "docker://quay.io/a/b:1");
  EXPECT_EQ(parse_source("busybox:1@" + kDigest).skopeo_name(),
            "docker://docker.io/library/busybox@" + kDigest);
  EXPECT_EQ(parse_source("oci:/x/y").skopeo_name(), "oci:/x/y");
  EXPECT_EQ(parse_source("oci:/x/y:1.2").skopeo_name(), "oci:/x/y:1.2");
  EXPECT_EQ(parse_source("oci-archive:x.tar:docker.io/library/a:1").selector, "docker.io/library/a:1");
  EXPECT_EQ(parse_source("docker-archive:x.tar:a/b:1").skopeo_name(), "docker-archive:x.tar:a/b:1");
  for (const std::string bad :
       {"oci:", "oci::tag", "oci:/x: y", "docker-archive:x:Upper", "docker://", "oci:/x:"})
    EXPECT_EQ(error_of([&] { parse_source(bad); }).code(), Code::invalid_argument) << bad;
}

class LocalName : public testing::Test {
 protected:
  TempDir folder_{testing::TempDir(), "local-name-"};
  TestImage image_{{make_tar({file("a", "1")})}};
};

TEST_F(LocalName, IsTheFoldersAndTheTag) {
  TestLayout layout(folder_.path() / "My_App");
  layout.add(image_, "v1");
  EXPECT_EQ(local_name(parse_source(layout.source("v1"))).full(), "docker.io/library/my-app:v1");
  EXPECT_EQ(local_name(parse_source("oci:" + layout.path().string() + "/")).full(),
            "docker.io/library/my-app:v1");
}

TEST_F(LocalName, IsTheFullNameInTheIndex) {
  TestLayout layout(folder_.path() / "x");
  layout.add(image_, "quay.io/a/b:2");
  EXPECT_EQ(local_name(parse_source("oci:" + layout.path().string())).full(), "quay.io/a/b:2");
}

TEST_F(LocalName, AsksWhenThereAreSeveral) {
  TestLayout layout(folder_.path() / "x");
  layout.add(image_, "one");
  layout.add(image_, "two");
  const Error several = error_of([&] { local_name(parse_source("oci:" + layout.path().string())); });
  EXPECT_EQ(several.code(), Code::invalid_argument);
  EXPECT_THAT(several.message(), HasSubstr("one, two"));
  const Error none = error_of([&] { local_name(parse_source(layout.source("three"))); });
  EXPECT_EQ(none.code(), Code::not_found);
  EXPECT_THAT(none.message(), HasSubstr("one, two"));
}

TEST_F(LocalName, OfArchives) {
  const auto archive = folder_.path() / "thing.tar";
  const auto write = [&](const std::string& member, const std::string& content) {
    write_file_atomically(archive, make_tar({file(member, content)}));
  };
  const std::string path = archive.string();
  write("manifest.json", R"([{"Config":"c","RepoTags":["me/app:3"],"Layers":[]}])");
  EXPECT_EQ(local_name(parse_source("docker-archive:" + path)).familiar(), "me/app:3");
  EXPECT_EQ(local_name(parse_source("docker-archive:" + path + ":other:1")).familiar(), "other:1");
  write("manifest.json", R"([{"Config":"c","RepoTags":null,"Layers":[]}])");
  EXPECT_EQ(local_name(parse_source("docker-archive:" + path)).familiar(), "thing:latest");
  write("manifest.json", R"([{"RepoTags":["a"]},{"RepoTags":["b"]}])");
  EXPECT_THAT(error_of([&] { local_name(parse_source("docker-archive:" + path)); }).message(),
              HasSubstr("a, b"));
  write("./index.json", R"({"manifests":[{"digest":")" + kDigest + R"(","size":1}]})");
  EXPECT_EQ(local_name(parse_source("oci-archive:" + path)).familiar(), "thing:latest");
  write("other", "");
  EXPECT_EQ(error_of([&] { local_name(parse_source("oci-archive:" + path)); }).code(), Code::corrupt);
  write_file_atomically(archive, "no archive at all");
  EXPECT_EQ(error_of([&] { local_name(parse_source("oci-archive:" + path)); }).code(), Code::corrupt);
  EXPECT_EQ(error_of([&] { local_name(parse_source("oci-archive:/nowhere/x.tar")); }).code(),
            Code::not_found);
  EXPECT_EQ(error_of([&] { local_name(parse_source("oci:/nowhere/x")); }).code(), Code::not_found);
}

}  // namespace
}  // namespace berth::image
