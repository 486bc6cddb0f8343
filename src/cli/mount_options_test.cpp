#include "cli/mount_options.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/error.hpp"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

engine::CreateOptions mount(const std::string& text) {
  engine::CreateOptions result;
  result.image = "busybox";
  parse_mount(text, result);
  return result;
}

template <typename Action>
void expect_refused(Code code, const std::string& text, Action action) {
  try {
    action();
    ADD_FAILURE() << "accepted; expected: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(text));
  }
}

TEST(MountOptions, AVolumeHasANameOrNone) {
  const engine::VolumeRequest named = parse_volume("data:/srv/data");
  EXPECT_EQ(named.name, "data");
  EXPECT_EQ(named.path, "/srv/data");
  EXPECT_FALSE(named.read_only || named.no_copy);
  const engine::VolumeRequest anonymous = parse_volume("/cache");
  EXPECT_EQ(anonymous.name, "");
  EXPECT_EQ(anonymous.path, "/cache");
  const engine::VolumeRequest both = parse_volume("data:/d:ro,nocopy");
  EXPECT_TRUE(both.read_only && both.no_copy);
  EXPECT_FALSE(parse_volume("data:/d:rw").read_only);
}

TEST(MountOptions, ARefusedVolumeSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "must be absolute"},    {"data", "must be absolute"},    {"data:d", "must be absolute"},
      {":/d", "is empty"},         {"data:/d:ro:x", "use [NAME:]"}, {"data:/d:wo", "unknown option 'wo'"},
      {"/d:ro", "need the name"},  {"da ta:/d", "invalid volume"},  {"data:/d:", "unknown option ''"},
      {"-x:/d", "invalid volume"},
  };
  for (const auto& [text, why] : cases) {
    expect_refused(Code::invalid_argument, why, [&, what = std::string(text)] { parse_volume(what); });
  }
}

TEST(MountOptions, AFolderIsAPathOfThisHost) {
  const record::HostFolder plain = parse_folder("/srv//site/:/in").value();
  EXPECT_EQ(plain.source, "/srv/site");
  EXPECT_EQ(plain.path, "/in");
  EXPECT_EQ(plain.mode, "");
  EXPECT_TRUE(plain.make_source);
  EXPECT_FALSE(plain.read_only);
  const record::HostFolder options = parse_folder("/:/in:ro,z").value();
  EXPECT_EQ(options.source, "/");
  EXPECT_EQ(options.mode, "ro,z");
  EXPECT_TRUE(options.read_only);
  const std::string here = std::filesystem::current_path();
  EXPECT_EQ(parse_folder(".:/in").value().source, here);
  EXPECT_EQ(parse_folder("./a/../b:/in:rw").value().source, here + "/b");
  EXPECT_EQ(parse_folder("../a:/in").value().source,
            (std::filesystem::path(here).parent_path() / "a").string());
  for (const char* volume : {"data:/in", "/in", "/in:ro", "data:/in:ro"})
    EXPECT_FALSE(parse_folder(volume)) << volume;
}

TEST(MountOptions, ARefusedFolderSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"~/x:/in", "$HOME"},
      {"./a:in", "must be absolute"},
      {"/a:/in:ro:x", "use SOURCE:DIR"},
      {"/a:/in:wo", "unknown option"},
      {"/a:/in:rslave", "propagation"},
      {"/a:/in:nocopy", "unknown option"},
  };
  for (const auto& [text, why] : cases) {
    expect_refused(Code::invalid_argument, why, [&, what = std::string(text)] { parse_folder(what); });
  }
}

TEST(MountOptions, MountKnowsFolders) {
  const engine::CreateOptions both = mount("type=bind,src=/srv/,dst=/in,readonly,bind-propagation=rprivate");
  ASSERT_EQ(both.folders.size(), 1u);
  EXPECT_EQ(both.folders[0].source, "/srv");
  EXPECT_EQ(both.folders[0].path, "/in");
  EXPECT_TRUE(both.folders[0].read_only);
  EXPECT_FALSE(both.folders[0].make_source);
  EXPECT_TRUE(both.volumes.empty());
  EXPECT_EQ(mount("type=bind,src=.,dst=/in").folders.at(0).source, std::filesystem::current_path());
  expect_refused(Code::unsupported, "rprivate",
                 [] { mount("type=bind,src=/a,dst=/b,bind-propagation=rshared"); });
}

TEST(MountOptions, MountKnowsVolumesAndTmpfs) {
  const engine::CreateOptions named = mount("type=volume,src=data,dst=/d,readonly,volume-nocopy=true");
  ASSERT_EQ(named.volumes.size(), 1u);
  EXPECT_EQ(named.volumes[0].name, "data");
  EXPECT_EQ(named.volumes[0].path, "/d");
  EXPECT_TRUE(named.volumes[0].read_only && named.volumes[0].no_copy);
  EXPECT_EQ(mount("target=/d,ro=false").volumes.at(0).name, "");
  EXPECT_THAT(mount("type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0700,readonly").tmpfs,
              ElementsAre(Pair("/t", "size=1048576,mode=0700,ro")));
}

TEST(MountOptions, ARefusedMountSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"type=volume,src=data", "no target"},
      {"", "unknown key ''"},
      {"type=nfs,dst=/d", "volume, bind or tmpfs"},
      {"dst=/d,readonly=maybe", "true or false"},
      {"type=tmpfs,src=a,dst=/d", "no source"},
      {"dst=/d,tmpfs-size=1m", "type=tmpfs"},
      {"type=bind,dst=/d", "absolute path"},
      {"type=bind,src=a,dst=/d", "absolute path"},
      {"type=bind,src=/a", "no target"},
      {"type=bind,src=/a,dst=/d,volume-nocopy", "no options"},
      {"src=/a,dst=/b", "type=bind"},
      {"dst=/d,bind-propagation=rprivate", "type=bind"},
      {"dst=/d,tmpfs-mode=9", "no octal mode"},
      {"dst=/d,colour=green", "unknown key 'colour'"},
  };
  for (const auto& [text, why] : cases) {
    expect_refused(Code::invalid_argument, why, [&, what = std::string(text)] { mount(what); });
  }
}

TEST(MountOptions, OnePlaceHoldsOneMount) {
  const auto check = [](const std::vector<std::string>& volumes, const std::vector<std::string>& tmpfs) {
    MountOptions options;
    options.volumes = volumes;
    options.tmpfs = tmpfs;
    engine::CreateOptions result;
    parse(options, result);
    engine::check_options(result);
  };
  check({"a1:/d", "b1:/d/e", "/f"}, {"/t"});
  expect_refused(Code::invalid_argument, "duplicate mount point: /d", [&] {
    check({"a1:/d", "b1:/d/"}, {});
  });
  expect_refused(Code::invalid_argument, "duplicate mount point: /d", [&] { check({"a1:/d"}, {"/x/../d"}); });
  expect_refused(Code::invalid_argument, "a1 is given twice", [&] { check({"a1:/d", "a1:/e"}, {}); });
  expect_refused(Code::invalid_argument, "nothing can be mounted at '/'", [&] { check({"a1:/"}, {}); });
  expect_refused(Code::invalid_argument, "must be absolute", [&] { check({}, {"t"}); });
  expect_refused(Code::invalid_argument, "duplicate mount point: /d", [&] { check({"/d", "/host:/d"}, {}); });
  check({"/host:/d", "/host:/e:ro", "a1:/d/deep"}, {});
  expect_refused(Code::invalid_argument, "too many",
                 [&] { check(std::vector<std::string>(23, "/a:/d"), {}); });
  expect_refused(Code::invalid_argument, "too many", [&] { check(std::vector<std::string>(23, "/d"), {}); });
}

}  // namespace
}  // namespace berth::cli
