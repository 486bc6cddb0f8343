#include "cli/mount_options.hpp"

#include <gmock/gmock.h>

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
  for (const char* text : {"/host:/d", "./host:/d", "~/x:/d:ro", "../a:/d"}) {
    expect_refused(Code::unsupported, "berth cp", [&] { parse_volume(text); });
  }
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
  expect_refused(Code::unsupported, "berth cp", [] { mount("type=bind,src=/a,dst=/b"); });
  expect_refused(Code::unsupported, "berth cp", [] { mount("src=/a,dst=/b"); });
  const std::pair<const char*, const char*> cases[] = {
      {"type=volume,src=data", "no target"},    {"", "unknown key ''"},
      {"type=nfs,dst=/d", "volume or tmpfs"},   {"dst=/d,readonly=maybe", "true or false"},
      {"type=tmpfs,src=a,dst=/d", "no source"}, {"dst=/d,tmpfs-size=1m", "type=tmpfs"},
      {"dst=/d,tmpfs-mode=9", "no octal mode"}, {"dst=/d,colour=green", "unknown key 'colour'"},
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
  expect_refused(Code::invalid_argument, "too many", [&] { check(std::vector<std::string>(23, "/d"), {}); });
}

}  // namespace
}  // namespace berth::cli
