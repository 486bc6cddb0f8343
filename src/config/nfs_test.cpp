#include "config/nfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::config {
namespace {

using ::testing::HasSubstr;

TEST(NfsOptions, KnownOnesAreTakenApart) {
  const NfsOptions options =
      parse_nfs_options("addr=nas.example,ro,vers=4.1,port=20490,soft,timeo=50,sec=sys,noexec");
  EXPECT_EQ(options.address, "nas.example");
  EXPECT_EQ(options.version, "4.1");
  EXPECT_EQ(options.port, 20490);
  EXPECT_TRUE(options.read_only);
  EXPECT_EQ(options.rest, "soft,timeo=50,sec=sys,noexec");
}

TEST(NfsOptions, ThereAreDefaults) {
  EXPECT_EQ(parse_nfs_options(""), NfsOptions());
  EXPECT_EQ(parse_nfs_options("rw,vers=4,proto=tcp"), NfsOptions());
  EXPECT_EQ(parse_nfs_options("addr=fd00::1").address, "fd00::1");
  EXPECT_EQ(parse_nfs_options("nfsvers=3,ro,rw").version, "3");
}

TEST(NfsOptions, NothingElseGetsThrough) {
  for (const char* bad : {"addr=",      "addr=a b",     "addr",
                          "addr=-x",    "addr=a/b",     "vers=2",
                          "vers=",      "port=0",       "port=70000",
                          "port",       "sec=krb5",     "proto=udp",
                          "proto=rdma", "rsize=1",      "rsize=4096x",
                          "timeo",      "dev",          "clientaddr=1.2.3.4",
                          "fsc",        "context=x",    "lookupcache=maybe",
                          "hard=1",     "soft ",        "migration",
                          "source=/x",  "sec=sys:krb5", "minorversion=9",
                          "lock"}) {
    EXPECT_THROW(parse_nfs_options(bad), Error) << bad;
  }
  EXPECT_THROW(parse_nfs_options(std::string(2000, ',')), Error);
  try {
    parse_nfs_options("sec=krb5p");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("sec=sys"));
  }
}

TEST(NfsPath, IsAbsoluteAndPlain) {
  EXPECT_NO_THROW(check_nfs_path("/export/a b,c"));
  for (const char* bad : {"", "export", ":/export", "/a\nb"}) EXPECT_THROW(check_nfs_path(bad), Error) << bad;
}

}  // namespace
}  // namespace berth::config
