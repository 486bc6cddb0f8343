#include "link/control.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/io.hpp"

namespace berth::link {
namespace {

constexpr Milliseconds kLimit{10'000};

Document example() {
  Document document;
  document.kind = DocumentKind::config;
  document.sequence = 77;
  document.keys.changed = {{"a", "1"}, {"b", std::string("\0\xff|~", 4)}, {"empty", ""}};
  document.keys.removed = {"gone", "gone too"};
  return document;
}

TEST(ControlDocument, SurvivesARoundTrip) {
  const Document before = example();
  const std::string bytes = encode_document(before);
  const Document after = decode_document(std::string_view(bytes).substr(4));
  EXPECT_EQ(after.kind, before.kind);
  EXPECT_EQ(after.sequence, before.sequence);
  EXPECT_EQ(after.keys, before.keys);
}

TEST(ControlDocument, EveryCutIsCorrupt) {
  const std::string bytes = encode_document(example()).substr(4);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(decode_document(std::string_view(bytes).substr(0, size)), Error) << size;
  }
  EXPECT_THROW(decode_document(bytes + "x"), Error);
  EXPECT_THROW(decode_document("\x09" + bytes.substr(1)), Error);
}

class ControlChannelTest : public testing::Test {
 protected:
  ControlChannelTest() {
    ::signal(SIGPIPE, SIG_IGN);
    auto [a, b] = make_socket_pair();
    host_ = std::make_unique<ControlChannel>(loop_.get_executor(), std::move(a));
    guest_fd_ = std::move(b);
  }
  void start(Task<> task) {
    asio::co_spawn(loop_, std::move(task), [this](std::exception_ptr failure) {
      if (failure && !failure_) failure_ = failure;
    });
  }
  void run() {
    loop_.run_for(std::chrono::seconds(30));
    EXPECT_TRUE(loop_.stopped());
  }

  asio::io_context loop_;
  std::unique_ptr<ControlChannel> host_;
  UniqueFd guest_fd_;
  std::exception_ptr failure_;
};

TEST_F(ControlChannelTest, SendsGetTheHandlersAnswer) {
  ControlChannel guest(loop_.get_executor(), std::move(guest_fd_));
  start(host_->serve([](Document) -> Task<extraconfig::Pairs> { co_return extraconfig::Pairs{}; }));
  start(guest.serve([](Document document) -> Task<extraconfig::Pairs> {
    if (document.keys.changed.contains("fail")) throw Error(Code::wrong_state, "not now");
    document.keys.changed["seen"] = "yes";
    co_return document.keys.changed;
  }));
  extraconfig::Pairs answer;
  std::optional<Error> refusal;
  start([](ControlChannel& host, extraconfig::Pairs& into, std::optional<Error>& error) -> Task<> {
    extraconfig::Difference keys;
    keys.changed["question"] = "?";
    into = co_await host.send(DocumentKind::order, keys, kLimit);
    keys.changed["fail"] = "";
    try {
      co_await host.send(DocumentKind::order, keys, kLimit);
    } catch (const Error& thrown) {
      error = thrown;
    }
    host.close();
  }(*host_, answer, refusal));
  run();
  EXPECT_EQ(answer.at("seen"), "yes");
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code(), Code::wrong_state);
  EXPECT_EQ(refusal->message(), "not now");
}

TEST_F(ControlChannelTest, AnAnswerThatDoesNotComeIsATimeOut) {
  std::optional<Error> failure;
  start([](ControlChannel& host, std::optional<Error>& error) -> Task<> {
    try {
      co_await host.send(DocumentKind::order, extraconfig::Difference(), Milliseconds(20));
    } catch (const Error& thrown) {
      error = thrown;
    }
  }(*host_, failure));
  run();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), Code::timeout);
}

TEST_F(ControlChannelTest, ThePeersEndEndsPendingSends) {
  start(host_->serve([](Document) -> Task<extraconfig::Pairs> { co_return extraconfig::Pairs{}; }));
  std::optional<Error> failure;
  start([](ControlChannel& host, std::optional<Error>& error) -> Task<> {
    try {
      co_await host.send(DocumentKind::order, extraconfig::Difference(), kLimit);
    } catch (const Error& thrown) {
      error = thrown;
    }
  }(*host_, failure));
  guest_fd_.reset();
  run();
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code(), Code::unavailable);
}

TEST_F(ControlChannelTest, RubbishEndsTheChannel) {
  start(host_->serve([](Document) -> Task<extraconfig::Pairs> { co_return extraconfig::Pairs{}; }));
  write_all(guest_fd_.get(), std::string(64, '\xff'));
  run();
  ASSERT_TRUE(failure_);
  EXPECT_THROW(std::rethrow_exception(failure_), Error);
}

}  // namespace
}  // namespace berth::link
