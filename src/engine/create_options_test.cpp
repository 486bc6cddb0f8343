#include "engine/create_options.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::engine {
namespace {

template <typename Change>
bool refused(Change change) {
  CreateOptions options;
  change(options);
  try {
    check_options(options);
    return false;
  } catch (const Error& error) {
    return error.code() == Code::invalid_argument;
  }
}

TEST(CreateOptions, WhatCannotBeIsRefused) {
  EXPECT_FALSE(refused([](CreateOptions&) {}));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.name = "no spaces"; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.cpus = 0; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.cpus = 100'000; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.memory_bytes = 1 << 20; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.stop_signal = "NOPE"; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.environment = {"=x"}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.working_directory = "relative"; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.tmpfs = {{"relative", ""}}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.hostname = std::string(64, 'x'); }));
}

TEST(CreateOptions, ConfinementThatCannotBeIsRefused) {
  EXPECT_TRUE(refused([](CreateOptions& o) { o.cap_add = {"FLY"}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.security_options = {"seccomp=/a/profile.json"}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.ulimits = {{"nofile", 2, 1}}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.sysctls = {{"vm.swappiness", "1"}}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.shm_bytes = UINT64_MAX; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.oom_score_adj = INT64_MIN; }));
}

TEST(CreateOptions, WithoutANetworkThereIsNothingToReach) {
  EXPECT_FALSE(refused([](CreateOptions& o) { o.network = "none"; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.network = "bridge"; }));
  EXPECT_TRUE(refused([](CreateOptions& o) {
    o.network = "none";
    o.ports = {{"", 80, 80, record::Protocol::tcp}};
  }));
  EXPECT_TRUE(refused([](CreateOptions& o) {
    o.network = "none";
    o.dns = {"9.9.9.9"};
  }));
  for (const char* server : {"", "dns.example"})
    EXPECT_TRUE(refused([server](CreateOptions& o) { o.dns = {server}; })) << server;
}

TEST(CreateOptions, ARestartPolicyIsKnownAndKeepsTheContainer) {
  EXPECT_FALSE(refused([](CreateOptions& o) { o.restart = {"on-failure", 4}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) { o.restart = {"sometimes", 0}; }));
  EXPECT_TRUE(refused([](CreateOptions& o) {
    o.restart = {"always", 0};
    o.auto_remove = true;
  }));
}

}  // namespace
}  // namespace berth::engine
