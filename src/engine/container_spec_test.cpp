#include "engine/container_spec.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "extraconfig/codec.hpp"

namespace berth::engine {
namespace {

class ContainerSpecTest : public testing::Test {
 protected:
  ContainerSpecTest() {
    image_.id = "sha256:abc";
    image_.config.entrypoint = {"/entry"};
    image_.config.cmd = {"default"};
    image_.config.env = {"PATH=/bin", "A=image"};
    image_.config.user = "www:web";
    image_.config.working_dir = "/srv";
    image_.config.stop_signal = "SIGQUIT";
    image_.config.volumes = {"/data"};
  }
  record::Pod make() { return make_pod(options_, image_, Nanoseconds(5'000'000'000)); }
  std::vector<std::string> command() { return make().session().cmd.args; }
  Code refusal() {
    try {
      make();
    } catch (const Error& error) {
      return error.code();
    }
    return Code::internal;
  }

  image::Image image_;
  CreateOptions options_;
};

using Words = std::vector<std::string>;

TEST_F(ContainerSpecTest, TheImagesConfigurationIsTheDefault) {
  const record::Pod pod = make();
  const config::SessionConfig& session = pod.session();
  EXPECT_EQ(session.cmd.args, (Words{"/entry", "default"}));
  EXPECT_EQ(session.cmd.dir, "/srv");
  EXPECT_EQ(session.user, "www");
  EXPECT_EQ(session.group, "web");
  EXPECT_EQ(session.stop_signal, "SIGQUIT");
  EXPECT_EQ(pod.executor.hostname, pod.id().substr(0, 12));
  ASSERT_EQ(pod.executor.mounts.size(), 1u);
  EXPECT_EQ(pod.executor.mounts.begin()->second.path, "/data");
  EXPECT_EQ(pod.host.memory_bytes, kDefaultMemory);
}

TEST_F(ContainerSpecTest, CommandAndEntrypointReplaceWhatDockerReplaces) {
  options_.command = {"mine"};
  EXPECT_EQ(command(), (Words{"/entry", "mine"}));
  options_.entrypoint = Words{"/other"};
  EXPECT_EQ(command(), (Words{"/other", "mine"}));
  options_.command.clear();
  EXPECT_EQ(command(), Words{"/other"}) << "the image's command goes with its entrypoint";
  options_.entrypoint = Words{};
  EXPECT_EQ(refusal(), Code::invalid_argument) << "nothing is left to run";
  options_.command = {"sh"};
  EXPECT_EQ(command(), Words{"sh"});
}

TEST_F(ContainerSpecTest, LaterVariablesWin) {
  options_.environment = {"A=mine", "B=x=y", "B=last"};
  const Words environment = make().session().cmd.env;
  EXPECT_EQ(std::count(environment.begin(), environment.end(), "A=mine"), 1);
  EXPECT_EQ(std::count(environment.begin(), environment.end(), "A=image"), 0);
  EXPECT_EQ(std::count(environment.begin(), environment.end(), "B=last"), 1);
  EXPECT_EQ(std::count(environment.begin(), environment.end(), "PATH=/bin"), 1);
}

TEST_F(ContainerSpecTest, OnlyATerminalHasATerm) {
  const auto has_term = [this] {
    const Words environment = make().session().cmd.env;
    return std::count(environment.begin(), environment.end(), "TERM=xterm") == 1;
  };
  EXPECT_FALSE(has_term());
  options_.tty = true;
  EXPECT_TRUE(has_term());
}

TEST_F(ContainerSpecTest, WhatTheOptionsOrTheImageSayMustBePossible) {
  options_.cpus = 0;
  EXPECT_EQ(refusal(), Code::invalid_argument);
  options_.cpus = 1;
  image_.config.stop_signal = "NOPE";
  EXPECT_EQ(refusal(), Code::invalid_argument);
  options_.stop_signal = "TERM";
  EXPECT_EQ(make().session().stop_signal, "TERM");
  image_.config.working_dir = "relative";
  EXPECT_EQ(refusal(), Code::invalid_argument);
}

TEST_F(ContainerSpecTest, OnlyAFractionOfAProcessorIsALimit) {
  EXPECT_EQ(make().session().resources, config::SessionResources());
  options_.cpus = 0.5;
  options_.pids_limit = -1;
  EXPECT_EQ(make().session().resources, (config::SessionResources{0, 0, 500'000'000}));
  options_.pids_limit = 9;
  EXPECT_EQ(make().session().resources.pids_limit, 9);
}

TEST_F(ContainerSpecTest, OnlyChangedCapabilitiesAreWritten) {
  EXPECT_FALSE(make().session().capabilities);
  options_.cap_drop = {"all"};
  ASSERT_TRUE(make().session().capabilities);
  EXPECT_TRUE(make().session().capabilities->empty());
  options_.cap_add = {"NET_ADMIN"};
  EXPECT_EQ(*make().session().capabilities, Words{"CAP_NET_ADMIN"});
}

TEST_F(ContainerSpecTest, SecurityOptionsAreTheSessions) {
  options_.security_options = {"no-new-privileges", "seccomp=unconfined"};
  EXPECT_TRUE(make().session().no_new_privileges);
  EXPECT_TRUE(make().session().seccomp_unconfined);
  options_.security_options = {"no-new-privileges:false"};
  EXPECT_FALSE(make().session().no_new_privileges);
}

TEST_F(ContainerSpecTest, ARestartPolicyIsTheSessions) {
  EXPECT_FALSE(make().session().restart);
  options_.restart = {"always", 0};
  EXPECT_TRUE(make().session().restart);
  EXPECT_FALSE(make().session().restart_on_failure);
  options_.restart = {"on-failure", 4};
  EXPECT_TRUE(make().session().restart_on_failure);
  EXPECT_EQ(make().session().restart_limit, 4);
  EXPECT_EQ(make().host.restart_policy, "on-failure");
}

TEST_F(ContainerSpecTest, NamesGoToTheResolver) {
  options_.extra_hosts = {{"db", "10.0.0.3"}};
  options_.dns = {"9.9.9.9", "2620:fe::fe"};
  options_.dns_search = {"example.org"};
  options_.dns_options = {"ndots:2"};
  const config::ExecutorConfig executor = make().executor;
  EXPECT_EQ(executor.extra_hosts.at("db"), "10.0.0.3");
  EXPECT_EQ(executor.dns_search, Words{"example.org"});
  EXPECT_EQ(executor.dns_options, Words{"ndots:2"});
  const auto& servers = executor.networks.at("user").network.nameservers;
  ASSERT_EQ(servers.size(), 2u);
  EXPECT_EQ(servers[1].to_string(), "2620:fe::fe");
}

TEST_F(ContainerSpecTest, WithoutANetworkThereIsNoInterface) {
  EXPECT_EQ(make().executor.networks.size(), 1u);
  options_.network = "none";
  EXPECT_TRUE(make().executor.networks.empty());
}

TEST_F(ContainerSpecTest, AMountTakesThePlaceOfTheImagesVolume) {
  VolumeRequest request;
  request.name = "data";
  request.path = "/data/";
  request.read_only = true;
  options_.volumes = {request};
  record::Pod pod = make();
  EXPECT_TRUE(pod.executor.mounts.empty());
  volume::Volume volume;
  volume.id = "0123456789abcdef";
  volume.name = "data";
  add_volume(pod, request, volume);
  ASSERT_EQ(pod.executor.mounts.size(), 1u);
  const config::MountSpec& mount = pod.executor.mounts.begin()->second;
  EXPECT_EQ(mount.source.scheme, "serial");
  EXPECT_EQ(mount.source.host, "vol-0123456789abcdef");
  EXPECT_EQ(mount.path, "/data");
  EXPECT_EQ(mount.mode, "ro");
  EXPECT_EQ(mount.copy_mode, config::CopyMode::fresh);
  ASSERT_EQ(pod.host.volumes.size(), 1u);
  EXPECT_EQ(pod.host.volumes[0].path, "/data");
  const extraconfig::Pairs pairs = record::encode(pod);
  EXPECT_EQ(record::decode(pairs).host.volumes, pod.host.volumes);
  EXPECT_EQ(record::decode(pairs).executor.mounts, pod.executor.mounts);
}

TEST_F(ContainerSpecTest, OfAFolderTheGuestIsToldATagOnly) {
  options_.folders = {{"/host/site", "/data/", true, true, "ro"},
                      {"/host/other", "/other", false, false, ""}};
  const record::Pod pod = make();
  ASSERT_EQ(pod.executor.mounts.size(), 2u) << "a folder takes the place of the image's volume";
  const config::MountSpec& first = pod.executor.mounts.at("folder-0");
  EXPECT_EQ(first.source.scheme, "virtiofs");
  EXPECT_EQ(first.source.host, "folder0");
  EXPECT_EQ(first.path, "/data");
  EXPECT_EQ(first.mode, "ro");
  EXPECT_EQ(pod.executor.mounts.at("folder-1").mode, "rw");
  ASSERT_EQ(pod.host.folders.size(), 2u);
  EXPECT_EQ(pod.host.folders[0].path, "/data");
  const extraconfig::Pairs pairs = record::encode(pod);
  EXPECT_EQ(record::decode(pairs).host.folders, pod.host.folders);
  EXPECT_EQ(record::decode(pairs).executor.mounts, pod.executor.mounts);
  const extraconfig::Pairs guest =
      extraconfig::filter(pairs, extraconfig::kGuestScopes, describe::scope::hidden);
  EXPECT_FALSE(guest.empty());
  for (const auto& [key, value] : guest) EXPECT_EQ(value.find("/host"), std::string::npos) << key;
}

TEST_F(ContainerSpecTest, AFoldersSourceIsAbsolute) {
  options_.folders = {{"srv", "/data", false, false, ""}};
  EXPECT_EQ(refusal(), Code::invalid_argument);
}

}  // namespace
}  // namespace berth::engine
