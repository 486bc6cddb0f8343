#include "config/sysctls.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/error.hpp"

namespace berth::config {
namespace {

TEST(Sysctls, ThoseOfAContainerAlone) {
  for (const char* name : {"net.ipv4.ip_forward", "net.core.somaxconn", "fs.mqueue.msg_max", "kernel.shmmax",
                           "kernel.sem", "kernel.shm_rmid_forced"}) {
    EXPECT_NO_THROW(check_sysctl(name)) << name;
  }
}

TEST(Sysctls, RefuseThoseOfTheMachineAndOddPaths) {
  for (const char* name :
       {"", "net.", "kernel.panic", "kernel.shmmaxx", "vm.swappiness", "fs.file-max", "fs.mqueue",
        "net.ipv4..x", "net...", "net.a/../../kernel.panic", "net/ipv4/ip_forward", "network.x"}) {
    EXPECT_THROW(check_sysctl(name), Error) << name;
  }
  EXPECT_THROW(check_sysctl("net." + std::string(300, 'x')), Error);
}

}  // namespace
}  // namespace berth::config
