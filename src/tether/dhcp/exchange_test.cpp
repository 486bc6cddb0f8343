#include "tether/dhcp/exchange.hpp"

#include <gtest/gtest.h>

#include "tether/dhcp/server_test.hpp"

namespace berth::tether::dhcp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kServer = 0x0a000001;

/// A client in a time that stands still until it is told.
class DhcpExchange : public testing::Test {
 protected:
  /// What is sent now; nothing leaves the test as it is.
  std::string sent() {
    const auto packet = exchange_.step(now_);
    if (!packet) return "";
    last_ = *packet;
    return packet->payload;
  }
  /// Moves to the next deadline.
  std::string sent_next() {
    now_ = exchange_.deadline();
    return sent();
  }
  void answer(Type type, std::vector<std::pair<std::uint8_t, std::string>> options = {},
              std::uint32_t address = 0x0a000005, std::uint32_t server = kServer) {
    TestReply reply;
    reply.type = type;
    reply.transaction = number_at(last_.payload, 4);
    reply.address = address;
    reply.server = server;
    reply.options = std::move(options);
    exchange_.receive(reply.bytes(), now_);
  }
  void bind(std::uint32_t lease_seconds) {
    sent();
    answer(Type::offer);
    sent();
    answer(Type::acknowledge, {{51, TestReply::number(lease_seconds)}});
    ASSERT_EQ(exchange_.state(), Exchange::State::bound);
    bound_at_ = now_;
  }

  std::uint32_t numbers_ = 0;
  Nanoseconds now_ = seconds(1000);
  Nanoseconds bound_at_{};
  Exchange exchange_{{kTestMac, "pod", [this] { return numbers_ += 1000; }}, now_};
  Exchange::Packet last_;
};

TEST_F(DhcpExchange, GetsALease) {
  EXPECT_EQ(request_type(sent()), Type::discover);
  EXPECT_EQ(last_.from, 0u);
  EXPECT_EQ(last_.to, kBroadcast);
  EXPECT_EQ(sent(), "") << "once";
  answer(Type::offer);
  EXPECT_FALSE(exchange_.lease());
  const auto options = request_options(sent());
  EXPECT_EQ(options.at(53), std::string("\3", 1));
  EXPECT_EQ(options.at(50), TestReply::number(0x0a000005));
  EXPECT_EQ(options.at(54), TestReply::number(kServer));
  EXPECT_EQ(options.at(12), "pod");
  EXPECT_EQ(number_at(last_.payload, 12), 0u) << "it has no address yet";
  answer(Type::acknowledge, {{51, TestReply::number(60)}});
  ASSERT_TRUE(exchange_.lease());
  EXPECT_EQ(exchange_.lease()->address, 0x0a000005u);
  EXPECT_EQ(exchange_.deadline(), now_ + seconds(30));
}

TEST_F(DhcpExchange, AsksAgainEverMoreSlowly) {
  sent();
  Nanoseconds before = now_;
  for (const int pause : {1, 2, 4, 8, 16, 16, 16}) {
    EXPECT_EQ(request_type(sent_next()), Type::discover);
    EXPECT_GE(now_ - before, seconds(pause));
    EXPECT_LE(now_ - before, seconds(pause) * 5 / 4);
    before = now_;
  }
}

TEST_F(DhcpExchange, StartsOverWhenTheServerThatOfferedIsSilent) {
  sent();
  answer(Type::offer);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(request_type(i == 0 ? sent() : sent_next()), Type::request) << i;
  const std::uint32_t before = number_at(last_.payload, 4);
  EXPECT_EQ(request_type(sent_next()), Type::discover);
  EXPECT_NE(number_at(last_.payload, 4), before);
}

TEST_F(DhcpExchange, TakesOnlyWhatBelongsToTheState) {
  sent();
  answer(Type::acknowledge, {{51, TestReply::number(60)}});
  EXPECT_EQ(exchange_.state(), Exchange::State::selecting);
  answer(Type::offer);
  sent();
  answer(Type::acknowledge, {{51, TestReply::number(60)}}, 0x0a000006, kServer + 7);
  EXPECT_EQ(exchange_.state(), Exchange::State::requesting) << "another server";
  answer(Type::refuse, {}, 0, kServer + 7);
  EXPECT_EQ(exchange_.state(), Exchange::State::requesting);
}

TEST_F(DhcpExchange, F10RenewsAtHalfTime) {
  bind(60);
  EXPECT_EQ(request_type(sent_next()), Type::request);
  EXPECT_EQ(now_, bound_at_ + seconds(30));
  EXPECT_EQ(last_.from, 0x0a000005u);
  EXPECT_EQ(last_.to, kServer);
  EXPECT_EQ(number_at(last_.payload, 12), 0x0a000005u);
  EXPECT_FALSE(request_options(last_.payload).contains(50)) << "RFC 2131, 4.3.2";
  EXPECT_FALSE(request_options(last_.payload).contains(54));
  now_ += milliseconds(5);
  answer(Type::acknowledge, {{51, TestReply::number(60)}});
  EXPECT_EQ(exchange_.state(), Exchange::State::bound);
  EXPECT_EQ(exchange_.deadline(), bound_at_ + seconds(60)) << "counted from the request";
}

TEST_F(DhcpExchange, ObeysTheServersTimes) {
  sent();
  answer(Type::offer);
  sent();
  answer(Type::acknowledge,
         {{51, TestReply::number(1000)}, {58, TestReply::number(100)}, {59, TestReply::number(200)}});
  EXPECT_EQ(exchange_.deadline(), now_ + seconds(100));
  const Nanoseconds begin = now_;
  while (exchange_.state() != Exchange::State::rebinding) sent_next();
  EXPECT_EQ(now_, begin + seconds(200));
}

TEST_F(DhcpExchange, TimesThatAreNotInOrderAreNotObeyed) {
  sent();
  answer(Type::offer);
  sent();
  answer(Type::acknowledge,
         {{51, TestReply::number(100)}, {58, TestReply::number(0)}, {59, TestReply::number(200)}});
  EXPECT_EQ(exchange_.deadline(), now_ + seconds(50));
}

TEST_F(DhcpExchange, F13ASilentServerLosesItsClientAtTheEnd) {
  bind(80);
  int renewals = 0;
  int rebindings = 0;
  while (exchange_.lease()) {
    ASSERT_LT(renewals + rebindings, 50);
    const std::string bytes = sent_next();
    if (!exchange_.lease()) break;
    EXPECT_EQ(request_type(bytes), Type::request);
    last_.to == kBroadcast ? ++rebindings : ++renewals;
    EXPECT_EQ(last_.to == kBroadcast, now_ >= bound_at_ + seconds(70));
  }
  EXPECT_GE(renewals, 2);
  EXPECT_GE(rebindings, 1);
  EXPECT_EQ(now_, bound_at_ + seconds(80));
  EXPECT_EQ(request_type(last_.payload), Type::discover);
  EXPECT_EQ(last_.from, 0u);
}

TEST_F(DhcpExchange, AnyServerMayExtendWhileRebinding) {
  bind(80);
  while (exchange_.state() != Exchange::State::rebinding) sent_next();
  answer(Type::acknowledge, {{51, TestReply::number(600)}}, 0x0a000005, kServer + 7);
  EXPECT_EQ(exchange_.state(), Exchange::State::bound);
  EXPECT_EQ(exchange_.lease()->server, kServer + 7);
}

TEST_F(DhcpExchange, F13ARenewalMayBringAnotherAddress) {
  bind(60);
  sent_next();
  answer(Type::acknowledge, {{51, TestReply::number(60)}}, 0x0a000009);
  EXPECT_EQ(exchange_.lease()->address, 0x0a000009u);
}

TEST_F(DhcpExchange, F13ARefusalTakesTheAddressAndStartsOver) {
  bind(60);
  sent_next();
  answer(Type::refuse, {}, 0);
  EXPECT_FALSE(exchange_.lease());
  EXPECT_EQ(sent(), "") << "not in a rush";
  EXPECT_EQ(request_type(sent_next()), Type::discover);
  EXPECT_EQ(last_.from, 0u);
}

TEST_F(DhcpExchange, AnEndlessLeaseNeedsNothing) {
  sent();
  answer(Type::offer);
  sent();
  answer(Type::acknowledge);
  EXPECT_EQ(exchange_.deadline(), Nanoseconds::max());
}

TEST_F(DhcpExchange, AShortLeaseDoesNotMakeItRush) {
  bind(0);
  EXPECT_GE(exchange_.deadline(), now_ + seconds(2));
}

TEST_F(DhcpExchange, GivesItsLeaseBack) {
  EXPECT_FALSE(exchange_.release());
  bind(60);
  const auto packet = exchange_.release();
  ASSERT_TRUE(packet);
  EXPECT_EQ(request_type(packet->payload), Type::release);
  EXPECT_EQ(packet->to, kServer);
  EXPECT_EQ(number_at(packet->payload, 12), 0x0a000005u);
  EXPECT_FALSE(exchange_.lease());
  EXPECT_FALSE(exchange_.release());
}

}  // namespace
}  // namespace berth::tether::dhcp
