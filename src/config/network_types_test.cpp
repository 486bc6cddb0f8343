#include "config/network_types.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::config {
namespace {

TEST(IpAddress, TextAndBytes) {
  EXPECT_EQ(IpAddress::parse("10.1.2.3").data, std::string("\x0a\x01\x02\x03", 4));
  EXPECT_EQ(IpAddress::parse("10.1.2.3").v4_number(), 0x0a010203u);
  EXPECT_EQ(IpAddress::v4(0x0a010203).to_string(), "10.1.2.3");
  EXPECT_EQ(IpAddress::parse("fe80::1").to_string(), "fe80::1");
  EXPECT_EQ(IpAddress::parse("::ffff:10.1.2.3").to_string(), "10.1.2.3");
  EXPECT_EQ(IpAddress::parse("::ffff:10.1.2.3").text(), "::ffff:10.1.2.3");
  EXPECT_EQ(IpAddress().to_string(), "");
  EXPECT_THROW(IpAddress::parse(""), Error);
  EXPECT_THROW(IpAddress::parse("10.1.2"), Error);
  EXPECT_THROW(IpAddress::parse(std::string_view("10.1.2.3\0", 9)), Error);
  EXPECT_FALSE(IpAddress::valid("12345"));
}

TEST(IpNetwork, PrefixLengths) {
  const IpNetwork network = IpNetwork::parse("172.16.0.1/20");
  EXPECT_EQ(network.to_string(), "172.16.0.1/20");
  EXPECT_EQ(network.mask.data, std::string("\xff\xff\xf0\x00", 4));
  EXPECT_TRUE(network.contains(IpAddress::parse("172.16.15.255")));
  EXPECT_TRUE(network.contains(IpAddress::parse("::ffff:172.16.0.9")));
  EXPECT_FALSE(network.contains(IpAddress::parse("172.16.16.0")));
  EXPECT_FALSE(network.contains(IpAddress::parse("fe80::1")));
  EXPECT_EQ(IpNetwork::parse("fe80::/10").to_string(), "fe80::/10");
  EXPECT_THROW(IpNetwork::parse("10.0.0.0/33"), Error);
  EXPECT_THROW(IpNetwork::parse("10.0.0.0"), Error);
  EXPECT_EQ(IpNetwork().to_string(), "");
}

TEST(IpMask, OnlyRowsOfOnesHaveALength) {
  EXPECT_EQ(IpMask::of(0, 4).bits(), 0);
  EXPECT_EQ(IpMask::of(128, 16).bits(), 128);
  IpMask mask;
  EXPECT_EQ(mask.bits(), std::nullopt);
  mask.data = std::string("\xff\x00\xff\x00", 4);
  EXPECT_EQ(mask.bits(), std::nullopt);
}

}  // namespace
}  // namespace berth::config
