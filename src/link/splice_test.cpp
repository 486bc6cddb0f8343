#include "link/splice.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "link/ssh_fixture.hpp"

namespace berth::link::ssh {
namespace {

class SpliceTest : public SshTest {
 protected:
  SpliceTest() { std::tie(sending_, sent_) = make_socket_pair(); }

  UniqueFd sending_;
  UniqueFd sent_;
};

/// A server that answers each connection's whole input with it, turned round, after a greeting.
class Reverser {
 public:
  explicit Reverser(asio::io_context& loop) : acceptor_(loop, {asio::ip::address_v4::loopback(), 0}) {
    asio::co_spawn(loop, accept(), asio::detached);
  }

  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void stop() { acceptor_.close(); }
  Task<> stop_after(int connections) {
    while (ended_ < connections) co_await sleep_for(Milliseconds(1));
    stop();
  }
  int ended() const { return ended_; }

 private:
  Task<> accept() {
    while (acceptor_.is_open()) {
      asio::ip::tcp::socket client = co_await acceptor_.async_accept(asio::use_awaitable);
      asio::co_spawn(acceptor_.get_executor(), serve(UniqueFd(client.release())), asio::detached);
    }
  }

  Task<> serve(UniqueFd client) {
    Stream stream(acceptor_.get_executor(), std::move(client));
    co_await stream.write_all("hello ");
    std::string all;
    char buffer[4096];
    while (const std::size_t n = co_await stream.read_some(buffer, sizeof buffer)) all.append(buffer, n);
    ++ended_;
    co_await stream.write_all(std::string(all.rbegin(), all.rend()));
  }

  asio::ip::tcp::acceptor acceptor_;
  int ended_ = 0;
};

UniqueFd connect_to_port(const ForwardTarget& target) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  check(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  return socket;
}

TEST_F(SpliceTest, ForwardsConnectionsBothWaysWithTheirEnds) {
  Reverser reverser(loop_);
  connect_ = connect_to_port;
  std::vector<std::string> answers;
  run(no_session, [&](Client& client) -> Task<> {
    const ForwardTarget target{"localhost", reverser.port()};
    const auto first = co_await client.forward(target, kLimit);
    const auto second = co_await client.forward(target, kLimit);
    co_await first->write_all("abc");
    co_await second->write_all(std::string(300'000, 'x') + "y");
    co_await second->send_end();
    answers.push_back(co_await read_to_end(*second));
    co_await first->send_end();
    answers.push_back(co_await read_to_end(*first));
    reverser.stop();
  });
  EXPECT_EQ(answers, (std::vector<std::string>{"hello y" + std::string(300'000, 'x'), "hello cba"}));
}

TEST_F(SpliceTest, CarriesMuchOneWay) {
  constexpr std::size_t kSize = 64u << 20;
  std::size_t received = 0;
  std::thread sender([this] {
    write_all(sending_.get(), std::string(kSize, 'x'));
    sending_.reset();
  });
  connect_ = [&](const ForwardTarget&) { return std::move(sent_); };
  // On a loop of its own, so that the client's answers come at any time.
  auto [host_end, guest_end] = make_socket_pair();
  std::thread server([this, end = std::move(guest_end)]() mutable {
    asio::io_context loop;
    asio::co_spawn(loop, serve(std::move(end), {host_.private_key, {user_.public_key}, connect_}, no_session),
                   asio::detached);
    loop.run();
  });
  const auto receive = [&](UniqueFd end) -> Task<> {
    const auto client = co_await Client::connect(std::move(end), client_key_, pinned_key_, kLimit);
    const ForwardTarget target{"localhost", 1};
    const auto channel = co_await client->forward(target, kLimit);
    std::string buffer(30'000, '\0');
    while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) received += n;
  };
  asio::co_spawn(loop_, receive(std::move(host_end)),
                 [this](std::exception_ptr failure) { client_failure_ = failure; });
  loop_.run_for(std::chrono::seconds(60));
  EXPECT_EQ(received, kSize);
  ::shutdown(sending_.get(), SHUT_RDWR);
  server.join();
  sender.join();
  EXPECT_EQ(received, kSize);
}

TEST_F(SpliceTest, AForwardedConnectionEndsWithItsClient) {
  Reverser reverser(loop_);
  connect_ = connect_to_port;
  run(no_session, [&](Client& client) -> Task<> {
    const ForwardTarget target{"localhost", reverser.port()};
    { const auto closed_alone = co_await client.forward(target, kLimit); }
    const auto closed_with_the_connection = co_await client.forward(target, kLimit);
    asio::co_spawn(loop_, reverser.stop_after(2), asio::detached);
  });
  EXPECT_EQ(reverser.ended(), 2);
}

TEST_F(SpliceTest, RefusesToForwardToWhereNothingListens) {
  const auto refused = [](Client& client, std::uint16_t port) -> Task<bool> {
    const ForwardTarget target{"localhost", port};
    try {
      co_await client.forward(target, kLimit);
    } catch (const Error& error) {
      co_return error.code() == Code::unavailable;
    }
    co_return false;
  };
  bool without_a_listener = false;
  bool without_a_handler = false;
  Reverser reverser(loop_);
  const std::uint16_t free_port = reverser.port();
  reverser.stop();
  connect_ = connect_to_port;
  run(no_session,
      [&](Client& client) -> Task<> { without_a_listener = co_await refused(client, free_port); });
  connect_ = {};
  loop_.restart();
  run(no_session, [&](Client& client) -> Task<> { without_a_handler = co_await refused(client, free_port); });
  EXPECT_TRUE(without_a_listener);
  EXPECT_TRUE(without_a_handler);
}

}  // namespace
}  // namespace berth::link::ssh
