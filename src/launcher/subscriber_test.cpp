#include "launcher/subscriber.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "base/io.hpp"

namespace berth::launcher {
namespace {

/// A client that reads nothing until it is told to.
class SubscriberTest : public testing::Test {
 protected:
  void make(SlowReader policy) {
    auto [client_end, launcher_end] = make_socket_pair();
    subscriber_ = std::make_shared<Subscriber>(loop_.get_executor(), std::move(launcher_end), "", policy);
    client_ = std::make_unique<Stream>(loop_.get_executor(), std::move(client_end));
    spawn_detached(loop_.get_executor(), "queue", subscriber_->write_queue());
  }

  void read_everything() {
    spawn_detached(loop_.get_executor(), "client", [](SubscriberTest* self) -> Task<> {
      FrameParser parser;
      std::string buffer(65536, '\0');
      while (const std::size_t n = co_await self->client_->read_some(buffer.data(), buffer.size())) {
        parser.feed(std::string_view(buffer).substr(0, n),
                    [&](Frame&& frame) { self->frames_.push_back(std::move(frame)); });
      }
    }(this));
    loop_.run_for(std::chrono::seconds(20));
    EXPECT_TRUE(loop_.stopped());
  }

  std::size_t bytes_of(FrameKind kind) const {
    std::size_t sum = 0;
    for (const Frame& frame : frames_)
      if (frame.kind == kind) sum += frame.payload.size();
    return sum;
  }

  asio::io_context loop_;
  std::shared_ptr<Subscriber> subscriber_;
  std::unique_ptr<Stream> client_;
  std::vector<Frame> frames_;
};

constexpr std::size_t kPiece = 10'000;
constexpr std::size_t kPieces = 500;  // five times the high-water mark

TEST_F(SubscriberTest, AClientThatMayLoseOutputIsToldHowMuchAndWhere) {
  make(SlowReader::lose);
  for (std::size_t i = 0; i < kPieces; ++i) {
    subscriber_->send_output(FrameKind::standard_output, std::string(kPiece, 'x'));
    EXPECT_LE(subscriber_->has_room(), !subscriber_->overfull());
  }
  EXPECT_TRUE(subscriber_->overfull());
  subscriber_->finish(encode_exit({}));
  read_everything();

  ASSERT_GE(frames_.size(), 2u);
  EXPECT_EQ(frames_.back().kind, FrameKind::exit);
  const Frame& notice = frames_[frames_.size() - 2];
  ASSERT_EQ(notice.kind, FrameKind::lost);
  const std::size_t received = bytes_of(FrameKind::standard_output);
  EXPECT_EQ(decode_lost(notice.payload) + received, kPieces * kPiece);
  EXPECT_LE(received, Subscriber::kHighWater + kPiece);
}

TEST_F(SubscriberTest, OutputGoesOnBehindTheNotice) {
  make(SlowReader::lose);
  for (std::size_t i = 0; i < kPieces; ++i)
    subscriber_->send_output(FrameKind::standard_output, std::string(kPiece, 'x'));
  spawn_detached(loop_.get_executor(), "session", [](std::shared_ptr<Subscriber> to) -> Task<> {
    co_await to->wait_room();
    to->send_output(FrameKind::standard_error, "again");
    to->finish(encode_exit({}));
  }(subscriber_));
  read_everything();

  ASSERT_GE(frames_.size(), 3u);
  EXPECT_EQ(frames_[frames_.size() - 3].kind, FrameKind::lost);
  EXPECT_EQ(frames_[frames_.size() - 2].payload, "again");
  EXPECT_EQ(frames_.back().kind, FrameKind::exit);
}

TEST_F(SubscriberTest, OtherClientsLoseNothing) {
  make(SlowReader::wait);
  for (std::size_t i = 0; i < kPieces; ++i)
    subscriber_->send_output(FrameKind::standard_output, std::string(kPiece, 'x'));
  subscriber_->finish(encode_exit({}));
  read_everything();
  EXPECT_EQ(bytes_of(FrameKind::standard_output), kPieces * kPiece);
  EXPECT_EQ(bytes_of(FrameKind::lost), 0u);
}

}  // namespace
}  // namespace berth::launcher
