#include "tether/dhcp/message.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tether/dhcp/server_test.hpp"

namespace berth::tether::dhcp {
namespace {

using ::testing::ElementsAre;

TEST(DhcpMessage, ARequestHasWhatServersRead) {
  Request request;
  request.type = Type::request;
  request.transaction = 0x01020304;
  request.seconds = 5;
  request.wanted = 0x0a000005;
  request.server = 0x0a000001;
  request.host_name = "pod";
  const std::string bytes = encode(request, kTestMac);
  EXPECT_GE(bytes.size(), 300u);
  EXPECT_EQ(bytes.substr(0, 10), std::string("\1\1\6\0\1\2\3\4\0\5", 10));
  EXPECT_EQ(bytes.substr(28, 6), std::string("\x52\x54\0\0\0\1", 6));
  EXPECT_EQ(bytes.substr(236, 7), "\x63\x82\x53\x63\x35\x01\x03");
  const auto options = request_options(bytes);
  EXPECT_EQ(options.at(50), std::string("\x0a\0\0\x05", 4));
  EXPECT_EQ(options.at(54), std::string("\x0a\0\0\x01", 4));
  EXPECT_EQ(options.at(12), "pod");
  EXPECT_EQ(options.at(61), std::string("\1\x52\x54\0\0\0\1", 7));
}

TEST(DhcpMessage, ReadsAnOffer) {
  TestReply offer;
  offer.options = {{1, std::string("\xff\xff\xff\0", 4)},
                   {3, std::string("\x0a\0\0\x01", 4)},
                   {6, std::string("\x0a\0\0\x02\x08\x08\x08\x08", 8)},
                   {26, std::string("\x05\x78", 2)},
                   {51, std::string("\0\0\0\x3c", 4)}};
  const auto reply = parse(offer.bytes(), offer.transaction, kTestMac);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, Type::offer);
  EXPECT_EQ(reply->address, 0x0a000005u);
  EXPECT_EQ(reply->server, 0x0a000001u);
  EXPECT_EQ(reply->prefix_length, 24u);
  EXPECT_EQ(reply->router, 0x0a000001u);
  EXPECT_THAT(reply->nameservers, ElementsAre(0x0a000002u, 0x08080808u));
  EXPECT_EQ(reply->mtu, 1400u);
  EXPECT_EQ(reply->lease_seconds, 60u);
}

TEST(DhcpMessage, F12TakesAnOfferOfNothingButAnAddress) {
  const TestReply offer;
  const auto reply = parse(offer.bytes(), offer.transaction, kTestMac);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->prefix_length, 8u) << "that of its class";
  EXPECT_EQ(reply->router, 0u);
  EXPECT_TRUE(reply->nameservers.empty());
  EXPECT_FALSE(reply->lease_seconds);
}

TEST(DhcpMessage, LeavesOutValuesThatCannotBe) {
  TestReply offer;
  offer.options = {{1, std::string("\xff\0\xff\0", 4)},                       // no row of ones
                   {3, std::string("\xc0\xa8\1\1\xe0\0\0\1\x0a\1\1\1", 12)},  // elsewhere, multicast, here
                   {6, std::string("\0\0\0\0\x7f\0\0\1\x0a", 9)},
                   {26, std::string("\0\x20", 2)},
                   {51, "x"}};
  const auto reply = parse(offer.bytes(), offer.transaction, kTestMac);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->prefix_length, 8u);
  EXPECT_EQ(reply->router, 0x0a010101u);
  EXPECT_TRUE(reply->nameservers.empty());
  EXPECT_EQ(reply->mtu, 0u);
  EXPECT_FALSE(reply->lease_seconds);
}

TEST(DhcpMessage, ReadsOptionsInOtherFieldsAndInParts) {
  TestReply offer;
  offer.options = {{52, "\3"}, {6, std::string("\x0a\0", 2)}};
  std::string bytes = offer.bytes();
  bytes.replace(108, 7, std::string("\6\2\0\x02\x0c\1x", 7));
  bytes.replace(44, 6, std::string("\3\4\x0a\0\0\1", 6));
  const auto reply = parse(bytes, offer.transaction, kTestMac);
  ASSERT_TRUE(reply);
  EXPECT_THAT(reply->nameservers, ElementsAre(0x0a000002u));
  EXPECT_EQ(reply->router, 0x0a000001u);
}

TEST(DhcpMessage, RefusesWhatIsNotForItsClient) {
  const TestReply good;
  const auto parsed = [&](const TestReply& reply) {
    return parse(reply.bytes(), good.transaction, kTestMac);
  };
  EXPECT_TRUE(parsed(good));
  TestReply reply = good;
  reply.transaction += 1;
  EXPECT_FALSE(parsed(reply));
  reply = good;
  reply.mac[5] = 9;
  EXPECT_FALSE(parsed(reply));
  reply = good;
  reply.operation = 1;
  EXPECT_FALSE(parsed(reply));
  reply = good;
  reply.server = 0;
  EXPECT_FALSE(parsed(reply));
  for (const std::uint32_t address : {0u, 0x7f000001u, 0xe0000001u, 0xffffffffu}) {
    reply = good;
    reply.address = address;
    EXPECT_FALSE(parsed(reply)) << address;
  }
  reply = good;
  reply.type = Type::discover;
  EXPECT_FALSE(parsed(reply));
  const std::string bytes = good.bytes();
  for (std::size_t size = 0; size < 243; ++size)
    EXPECT_FALSE(parse(std::string_view(bytes).substr(0, size), good.transaction, kTestMac)) << size;
}

TEST(DhcpMessage, PacketsHaveTheirChecksums) {
  const std::string packet = make_packet("payload", 0, kBroadcast);
  EXPECT_EQ(packet.size(), 35u);
  // To the other port, as a server would send it.
  std::string answer = packet;
  std::swap(answer[20], answer[22]);
  std::swap(answer[21], answer[23]);
  EXPECT_EQ(payload_of(answer), "payload");
  EXPECT_FALSE(payload_of(packet)) << "from a client";
  for (std::size_t size = 0; size < answer.size(); ++size)
    EXPECT_FALSE(payload_of(std::string_view(answer).substr(0, size))) << size;
  for (const std::size_t at : {0, 2, 6, 8, 9, 10, 12}) {
    std::string damaged = answer;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x21);
    EXPECT_FALSE(payload_of(damaged)) << at;
  }
  std::string longer = answer;
  longer[25] = static_cast<char>(longer[25] + 1);
  EXPECT_FALSE(payload_of(longer)) << "UDP longer than IP";
  EXPECT_EQ(payload_of(answer + "padding"), "payload");
}

}  // namespace
}  // namespace berth::tether::dhcp
