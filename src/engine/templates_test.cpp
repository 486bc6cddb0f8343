#include "engine/templates.hpp"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

/// The maker knows sizes only: what it makes would be of no use for such a pod.
TEST(TemplateFor, APodWithAFirewallHasNone) {
  record::Pod pod = template_pod(1, std::uint64_t{512} << 20, "tcg");
  pod.executor.networks["net"].network.type = "external";
  EXPECT_EQ(template_for(pod, {}), "");
}

}  // namespace
}  // namespace berth::engine
