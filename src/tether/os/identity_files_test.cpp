#include "tether/os/identity_files.hpp"

#include <gtest/gtest.h>

namespace berth::tether::os {
namespace {

constexpr const char* kId = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

TEST(IdentityFiles, AreMadeFromThePodsId) {
  EXPECT_EQ(machine_id_of(kId), "00112233445566778899aabbccddeeff\n");
  for (const char* bad : {"", "short", "0011223344556677889", "XX112233445566778899aabbccddeeff"}) {
    EXPECT_EQ(machine_id_of(bad), "") << bad;
  }
}

TEST(IdentityFiles, LeaveAnImagesOwnMachineId) {
  for (const char* unset : {"", "\n", "uninitialized\n"}) EXPECT_TRUE(is_unset_machine_id(unset)) << unset;
  EXPECT_FALSE(is_unset_machine_id("00112233445566778899aabbccddeeff\n"));
}

}  // namespace
}  // namespace berth::tether::os
