#include "tether/session/process_plan.hpp"

#include <gtest/gtest.h>

#include "base/expect_error.hpp"

namespace berth::tether {
namespace {

ProcessPlan unusual_plan() {
  ProcessPlan plan;
  plan.program = "/bin/program";
  plan.arguments = {"program", "", std::string("with\0zero", 9)};
  plan.shell_command = "echo";
  plan.sftp_server = true;
  plan.environment = {"A=1", "B="};
  plan.directory = "/tmp";
  plan.user = "user";
  plan.group = "group";
  plan.hostname = "host";
  plan.terminal = true;
  plan.window = {65535, 24};
  plan.standard_input = true;
  plan.capabilities = ~CapabilitySet{0};
  plan.no_new_privileges = true;
  plan.seccomp = false;
  plan.further_groups = {"1", "staff"};
  plan.limits = {{7, 1024, UINT64_MAX, "nofile"}, {3, 0, 1, "stack"}};
  plan.oom_score_adj = -1000;
  plan.read_only_root = true;
  plan.init = true;
  plan.wait_for_go = true;
  return plan;
}

TEST(ProcessPlan, ComesBackAsItWas) {
  const ProcessPlan plain;
  EXPECT_EQ(decode_plan(encode_plan(plain)), plain);
  EXPECT_EQ(decode_plan(encode_plan(unusual_plan())), unusual_plan());
  ProcessPlan login;
  login.shell_command = "";
  EXPECT_EQ(decode_plan(encode_plan(login)), login);
}

TEST(ProcessPlan, OfAnotherLengthIsRefused) {
  const std::string bytes = encode_plan(unusual_plan());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    expect_error(Code::corrupt, "cut short", [&] { decode_plan(bytes.substr(0, size)); });
  expect_error(Code::corrupt, "too long", [&] { decode_plan(bytes + "x"); });
}

}  // namespace
}  // namespace berth::tether
