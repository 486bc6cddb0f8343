#include "base/relay.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth {
namespace {

class RelayTest : public testing::Test {
 protected:
  RelayTest() {
    ::signal(SIGPIPE, SIG_IGN);
    auto [a, a_far] = make_socket_pair();
    auto [b, b_far] = make_socket_pair();
    client_ = std::move(a);
    server_ = std::move(b);
    asio::co_spawn(loop_, relay(std::move(a_far), std::move(b_far), "greeting, "),
                   [this](std::exception_ptr failure) {
                     failed_ = failure != nullptr;
                     ended_ = true;
                   });
  }

  void run() { loop_.run_for(std::chrono::seconds(30)); }

  asio::io_context loop_;
  UniqueFd client_;
  UniqueFd server_;
  bool ended_ = false;
  bool failed_ = false;
};

TEST_F(RelayTest, CarriesBothWaysAfterOneHasEnded) {
  write_all(client_.get(), "question");
  ::shutdown(client_.get(), SHUT_WR);
  write_all(server_.get(), "answer");
  ::shutdown(server_.get(), SHUT_WR);
  run();
  EXPECT_TRUE(ended_);
  EXPECT_FALSE(failed_);
  EXPECT_EQ(read_all(server_.get(), 100), "question");
  EXPECT_EQ(read_all(client_.get(), 100), "greeting, answer");
}

TEST_F(RelayTest, EndsWhenTheReceiverHasGone) {
  client_.reset();
  write_all(server_.get(), "to nobody");
  run();
  EXPECT_TRUE(ended_);
  EXPECT_TRUE(failed_);
}

}  // namespace
}  // namespace berth
