#include "volume/nfs.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::volume {
namespace {

NfsSource parse(const std::string& type, const std::string& options, const std::string& device) {
  return parse_nfs_source({{"type", type}, {"o", options}, {"device", device}});
}

TEST(NfsSource, IsWhereDockerHasIt) {
  const NfsSource source = parse("nfs", "addr=10.0.2.2,rw,port=20490", ":/export/a:b");
  EXPECT_EQ(source.server, "10.0.2.2");
  EXPECT_EQ(source.path, "/export/a:b");
  EXPECT_EQ(source.options, "addr=10.0.2.2,rw,port=20490");
  EXPECT_EQ(parse("nfs4", "addr=nas", "other:/x").server, "nas");
  EXPECT_EQ(parse("nfs", "ro", "nas.example:/x").server, "nas.example");
  EXPECT_EQ(parse("nfs", "", "[fd00::1]:/x").server, "fd00::1");
}

TEST(NfsSource, NamesAServerAndAPath) {
  EXPECT_THROW(parse("cifs", "addr=nas", ":/x"), Error);
  EXPECT_THROW(parse("nfs", "addr=nas", "/x"), Error);
  EXPECT_THROW(parse("nfs", "addr=nas", ":x"), Error);
  EXPECT_THROW(parse("nfs", "addr=nas", ""), Error);
  EXPECT_THROW(parse("nfs", "rw", ":/x"), Error);
  EXPECT_THROW(parse("nfs", "", "[fd00::1/x"), Error);
  EXPECT_THROW(parse("nfs4", "addr=nas,vers=3", ":/x"), Error);
}

}  // namespace
}  // namespace berth::volume
