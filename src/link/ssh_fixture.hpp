#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "link/ssh.hpp"

namespace berth::link::ssh {

inline constexpr Milliseconds kLimit{20'000};
// Named, because g++ 12 destroys an aggregate made inside a co_await expression twice.
inline const Request kShell;

/// Both ends in one loop over a socket pair.
class SshTest : public testing::Test {
 protected:
  void run(SessionHandler handler, std::function<Task<>(Client&)> client_side) {
    auto [host_end, guest_end] = make_socket_pair();
    asio::co_spawn(
        loop_,
        serve(std::move(guest_end), {host_.private_key, {user_.public_key}, connect_}, std::move(handler)),
        [this](std::exception_ptr failure) { server_failure_ = failure; });
    asio::co_spawn(
        loop_,
        [](SshTest* self, UniqueFd end, std::function<Task<>(Client&)> body) -> Task<> {
          const auto client =
              co_await Client::connect(std::move(end), self->client_key_, self->pinned_key_, kLimit);
          co_await body(*client);
        }(this, std::move(host_end), std::move(client_side)),
        [this](std::exception_ptr failure) { client_failure_ = failure; });
    loop_.run_for(std::chrono::seconds(60));
    EXPECT_TRUE(loop_.stopped()) << "something still waits";
    if (client_failure_) std::rethrow_exception(client_failure_);
  }

  asio::io_context loop_;
  KeyPair host_ = generate_key();
  KeyPair user_ = generate_key();
  std::string client_key_ = user_.private_key;
  std::function<UniqueFd(const ForwardTarget&)> connect_;
  std::string pinned_key_ = host_.public_key;
  std::exception_ptr server_failure_;
  std::exception_ptr client_failure_;
};

inline Task<std::string> read_to_end(Channel& channel, bool error_stream = false) {
  std::string all;
  char buffer[65536];
  while (const std::size_t n = co_await channel.read_some(buffer, sizeof buffer, error_stream))
    all.append(buffer, n);
  co_return all;
}

inline Task<> no_session(std::shared_ptr<Channel>, Request) {
  co_return;
}

}  // namespace berth::link::ssh
