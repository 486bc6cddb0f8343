#include "engine/ports.hpp"

#include <gtest/gtest.h>

#include <set>

namespace berth::engine {
namespace {

/// So many that the kernel names some of its ports twice.
constexpr int kMany = 2000;

record::PortBinding any_port(record::Protocol protocol = record::Protocol::tcp) {
  record::PortBinding binding;
  binding.guest_port = 80;
  binding.protocol = protocol;
  return binding;
}

TEST(HostPorts, NeverGivesAPortTwice) {
  HostPorts ports({});
  std::set<std::uint16_t> given;
  for (int i = 0; i < kMany; ++i) {
    std::vector<record::PortBinding> bindings{any_port()};
    ports.choose(bindings);
    EXPECT_TRUE(given.insert(bindings.front().host_port).second) << bindings.front().host_port;
  }
}

TEST(HostPorts, GivesNoneThatIsTaken) {
  HostPorts first({});
  std::vector<record::PortBinding> taken(kMany, any_port());
  first.choose(taken);
  HostPorts second(taken);
  std::vector<record::PortBinding> given(kMany, any_port());
  second.choose(given);
  std::set<std::uint16_t> all;
  for (const auto* bindings : {&taken, &given}) {
    for (const record::PortBinding& binding : *bindings) all.insert(binding.host_port);
  }
  EXPECT_EQ(all.size(), 2u * kMany);
}

TEST(HostPorts, LeavesPortsThatWereAskedFor) {
  HostPorts ports({});
  std::vector<record::PortBinding> bindings{any_port(), any_port(record::Protocol::udp), any_port()};
  bindings[0].host_port = 8080;
  ports.choose(bindings);
  EXPECT_EQ(bindings[0].host_port, 8080);
  EXPECT_NE(bindings[1].host_port, 0);
  EXPECT_NE(bindings[2].host_port, 0);
}

}  // namespace
}  // namespace berth::engine
