#include "tether/os/nfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether::os {
namespace {

using ::testing::ElementsAre;

TEST(NfsData, NamesTheAddressAndWhatIsAskedFor) {
  EXPECT_EQ(nfs_data("10.0.2.2", "10.0.2.15", "4.2", 20490, "soft,timeo=50"),
            "vers=4.2,addr=10.0.2.2,port=20490,proto=tcp,clientaddr=10.0.2.15,soft,timeo=50");
  EXPECT_EQ(nfs_data("fd00::2", "fd00::1", "4.0", 2049, ""),
            "vers=4.0,addr=fd00::2,port=2049,proto=tcp6,clientaddr=fd00::1");
}

TEST(NfsData, VersionThreeHasNoLockManager) {
  EXPECT_EQ(nfs_data("10.0.2.2", "10.0.2.15", "3", 2049, "mountport=20048"),
            "vers=3,addr=10.0.2.2,port=2049,proto=tcp,mountproto=tcp,nolock,mountport=20048");
}

TEST(NfsServer, AnAddressIsItselfAndAHostIsLookedUp) {
  NfsSurroundings surroundings;
  surroundings.hosts = {{"nas", "10.0.0.1 10.0.0.2"}};
  EXPECT_THAT(resolve_server("192.0.2.1", surroundings), ElementsAre("192.0.2.1"));
  EXPECT_THAT(resolve_server("fd00::1", surroundings), ElementsAre("fd00::1"));
  EXPECT_THAT(resolve_server("nas", surroundings), ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_THROW(resolve_server("other", surroundings), Error) << "there is nobody to ask";
}

}  // namespace
}  // namespace berth::tether::os
