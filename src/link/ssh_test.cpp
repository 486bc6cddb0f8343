#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "link/ssh_fixture.hpp"

namespace berth::link::ssh {
namespace {

int open_descriptors() {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

TEST_F(SshTest, PassesRequestStreamsAndExit) {
  Request seen;
  std::string said;
  std::string complained;
  std::optional<Exit> exit;
  run(
      [&](std::shared_ptr<Channel> channel, Request request) -> Task<> {
        seen = request;
        const std::string input = co_await read_to_end(*channel);
        co_await channel->write_all("out:" + input);
        co_await channel->write_all("err", true);
        co_await channel->send_end();
        const Exit status{7, {}, false};
        co_await channel->send_exit(status);
      },
      [&](Client& client) -> Task<> {
        Request request;
        request.environment = {{"BERTH_SESSION", "abc"}};
        request.terminal = Terminal{"vt100", 100, 40};
        request.subsystem = "berth.attach";
        const auto channel = co_await client.open(request, kLimit);
        co_await channel->write_all("hello");
        co_await channel->send_end();
        said = co_await read_to_end(*channel);
        complained = co_await read_to_end(*channel, true);
        while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
        exit = channel->exit();
      });
  EXPECT_EQ(seen.environment.at("BERTH_SESSION"), "abc");
  EXPECT_EQ(seen.subsystem, "berth.attach");
  ASSERT_TRUE(seen.terminal);
  EXPECT_EQ(seen.terminal->columns, 100);
  EXPECT_EQ(seen.terminal->rows, 40);
  EXPECT_EQ(said, "out:hello");
  EXPECT_EQ(complained, "err");
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 7);
}

TEST_F(SshTest, AServerThatIsCancelledLeavesItsSessionsToTheirEnd) {
  auto [host_end, guest_end] = make_socket_pair();
  Event stop(loop_.get_executor());
  bool session_ended = false;
  bool ended_by_itself = true;
  SessionHandler handler = [&](std::shared_ptr<Channel> channel, Request) -> Task<> {
    try {
      while (!channel->closed()) co_await channel->write_all(std::string(64 << 10, 'x'));
    } catch (const Error&) {
    }
    session_ended = true;
  };
  const ServerOptions options{host_.private_key, {user_.public_key}, {}};
  const auto server_side = [&](UniqueFd end) -> Task<> {
    Task<> server = serve(std::move(end), options, handler);
    ended_by_itself = co_await run_until(stop, std::move(server));
  };
  const auto client_side = [&](UniqueFd end) -> Task<> {
    const auto client = co_await Client::connect(std::move(end), client_key_, pinned_key_, kLimit);
    const auto channel = co_await client->open(kShell, kLimit);
    char buffer[4096];
    co_await channel->read_some(buffer, sizeof buffer);
    stop.notify_all();
    while (!session_ended) co_await sleep_for(Milliseconds(1));
  };
  asio::co_spawn(loop_, server_side(std::move(guest_end)),
                 [this](std::exception_ptr failure) { server_failure_ = failure; });
  asio::co_spawn(loop_, client_side(std::move(host_end)),
                 [this](std::exception_ptr failure) { client_failure_ = failure; });
  loop_.run_for(std::chrono::seconds(60));
  EXPECT_TRUE(session_ended);
  EXPECT_FALSE(ended_by_itself);
  EXPECT_FALSE(server_failure_);
  EXPECT_FALSE(client_failure_);
}

TEST_F(SshTest, ManyChannelsAtOnceAllGetTheirAnswers) {
  constexpr int kAtOnce = 16;
  constexpr int kRounds = 40;
  int answered = 0;
  run(
      [](std::shared_ptr<Channel> channel, Request request) -> Task<> {
        co_await channel->write_all(request.environment["ROUND"]);
        co_await read_to_end(*channel);
        co_await channel->write_all(request.environment["C"], true);
        const Exit status{7, {}, false};
        co_await channel->send_exit(status);
      },
      [&](Client& client) -> Task<> {
        const auto exec_often = [&](int number) -> Task<> {
          for (int round = 0; round < kRounds; ++round) {
            Request request;
            request.environment = {{"A", "1"}, {"B", "2"}, {"C", "3"}};
            request.environment["ROUND"] = std::to_string(number * 1000 + round);
            const auto channel = co_await client.open(request, kLimit);
            co_await channel->send_end();
            EXPECT_EQ(co_await read_to_end(*channel), request.environment["ROUND"]);
            EXPECT_EQ(co_await read_to_end(*channel, true), "3");
            while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
            ++answered;
          }
        };
        for (int number = 0; number < kAtOnce; ++number) {
          Task<> execs = exec_often(number);
          spawn_detached(loop_.get_executor(), "execs", std::move(execs));
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(50);
        while (answered < kAtOnce * kRounds && std::chrono::steady_clock::now() < deadline) {
          co_await sleep_for(Milliseconds(5));
        }
      });
  EXPECT_EQ(answered, kAtOnce * kRounds);
}

TEST_F(SshTest, AReaderThatTakesLittleHoldsBackTheWriter) {
  constexpr std::size_t kTaken = 2u << 20;
  std::size_t written = 0;
  std::size_t read = 0;
  std::size_t written_meanwhile = 0;
  run(
      [&](std::shared_ptr<Channel> channel, Request) -> Task<> {
        const std::string block(32 << 10, 'x');
        while (written < 64u << 20) {
          co_await channel->write_all(block);
          written += block.size();
        }
        co_await channel->send_end();
      },
      [&](Client& client) -> Task<> {
        const auto channel = co_await client.open(kShell, kLimit);
        std::string buffer(64 << 10, '\0');
        while (read < kTaken) {
          read += co_await channel->read_some(buffer.data(), 4096);
          co_await sleep_for(Milliseconds(0));
        }
        written_meanwhile = written;
        while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) read += n;
      });
  EXPECT_LT(written_meanwhile, kTaken + (8u << 20));
  EXPECT_EQ(read, written);
}

TEST_F(SshTest, AnUnreadStreamHoldsBackTheOther) {
  std::size_t written = 0;
  std::size_t read = 0;
  run(
      [&](std::shared_ptr<Channel> channel, Request) -> Task<> {
        const std::string block(16 << 10, 'x');
        while (written < 32u << 20) {
          co_await channel->write_all(block);
          co_await channel->write_all(block, true);
          written += 2 * block.size();
        }
        co_await channel->send_end();
      },
      [&](Client& client) -> Task<> {
        const std::shared_ptr<Channel> channel = co_await client.open(kShell, kLimit);
        bool stalled = false;
        const auto read_errors = [&read, channel]() -> Task<> {
          std::string buffer(64 << 10, '\0');
          while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size(), true))
            read += n;
        };
        Task<> errors = read_errors();
        spawn_detached(loop_.get_executor(), "errors", std::move(errors));
        for (std::size_t before = 1; !stalled; before = read) {
          co_await sleep_for(Milliseconds(50));
          stalled = read == before;
        }
        EXPECT_LT(written, 16u << 20);
        std::string buffer(64 << 10, '\0');
        while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) read += n;
        while (read < written) co_await channel->wait_change();
      });
  EXPECT_EQ(read, written);
}

TEST_F(SshTest, PassesSignalsWindowChangesAndSignalExits) {
  std::vector<std::string> signals;
  std::pair<int, int> window;
  std::optional<Exit> exit;
  run(
      [&](std::shared_ptr<Channel> channel, Request) -> Task<> {
        channel->on_signal = [&](std::string_view name) { signals.emplace_back(name); };
        channel->on_window_change = [&](int columns, int rows) { window = {columns, rows}; };
        co_await read_to_end(*channel);
        const Exit killed{0, "KILL", false};
        co_await channel->send_exit(killed);
      },
      [&](Client& client) -> Task<> {
        const auto channel = co_await client.open(kShell, kLimit);
        co_await channel->send_signal("INT");
        co_await channel->send_window_change(120, 50);
        co_await channel->send_end();
        while (!channel->closed()) co_await channel->wait_change();
        exit = channel->exit();
      });
  EXPECT_EQ(signals, std::vector<std::string>{"INT"});
  EXPECT_EQ(window, std::make_pair(120, 50));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->signal, "KILL");
}

TEST_F(SshTest, CarriesALongStreamBothWaysAtOnce) {
  constexpr std::size_t kSize = 96u << 20;
  std::size_t back = 0;
  run(
      [](std::shared_ptr<Channel> channel, Request) -> Task<> {
        std::string buffer(1 << 16, '\0');
        while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) {
          co_await channel->write_all(std::string_view(buffer).substr(0, n));
        }
        co_await channel->send_end();
      },
      [&](Client& client) -> Task<> {
        const std::shared_ptr<Channel> channel = co_await client.open(kShell, kLimit);
        spawn_detached(loop_.get_executor(), "writer", [](std::shared_ptr<Channel> to) -> Task<> {
          const std::string piece(1 << 20, 'x');
          for (std::size_t sent = 0; sent < kSize; sent += piece.size()) co_await to->write_all(piece);
          co_await to->send_end();
        }(channel));
        std::string buffer(1 << 16, '\0');
        while (const std::size_t n = co_await channel->read_some(buffer.data(), buffer.size())) back += n;
      });
  EXPECT_EQ(back, kSize);
}

TEST_F(SshTest, BothStreamsEndForTheirTwoReaders) {
  int ended = 0;
  run(
      [](std::shared_ptr<Channel> channel, Request) -> Task<> {
        co_await channel->write_all("out");
        const Exit status{3, {}, false};
        co_await channel->send_exit(status);
      },
      [&](Client& client) -> Task<> {
        for (int i = 0; i < 50; ++i) {
          const std::shared_ptr<Channel> channel = co_await client.open(kShell, kLimit);
          std::string output;
          std::string error_output;
          const auto collect = [&channel](std::string& into, bool error_stream) -> Task<> {
            into = co_await read_to_end(*channel, error_stream);
          };
          co_await run_both(collect(output, false), collect(error_output, true));
          EXPECT_EQ(output, "out");
          EXPECT_EQ(error_output, "");
          while (!channel->exit() && !channel->closed()) co_await channel->wait_change();
          EXPECT_TRUE(channel->exit());
          ++ended;
        }
      });
  EXPECT_EQ(ended, 50);
}

TEST_F(SshTest, AReaderThatDoesNotReadHoldsBackItsWriterOnly) {
  std::size_t sent = 0;
  run(
      [](std::shared_ptr<Channel> channel, Request request) -> Task<> {
        if (request.command == "stuck") {
          while (!channel->closed()) co_await channel->wait_change();
        } else {
          co_await channel->write_all("alive");
        }
      },
      [&](Client& client) -> Task<> {
        Request stuck;
        stuck.command = "stuck";
        const std::shared_ptr<Channel> first = co_await client.open(stuck, kLimit);
        spawn_detached(loop_.get_executor(), "writer",
                       [](std::shared_ptr<Channel> to, std::size_t& count) -> Task<> {
                         const std::string piece(1 << 16, 'x');
                         while (true) {
                           co_await to->write_all(piece);
                           count += piece.size();
                         }
                       }(first, sent));
        for (int i = 0; i < 20; ++i) {
          Request other;
          other.command = "other";
          const auto second = co_await client.open(other, kLimit);
          EXPECT_EQ(co_await read_to_end(*second), "alive");
        }
        co_await first->close();
      });
  EXPECT_LT(sent, 8u << 20);
}

TEST_F(SshTest, AWriteEndsWhoeverHandsOverItsLastBytes) {
  auto [host_end, guest_end] = make_socket_pair();
  const int small = 1;
  check(::setsockopt(guest_end.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), "setsockopt");
  asio::io_context guest_loop;
  std::shared_ptr<Channel> served;
  const SessionHandler read_all = [&](std::shared_ptr<Channel> channel, Request) -> Task<> {
    served = channel;
    co_await read_to_end(*channel);
  };
  const ServerOptions options{host_.private_key, {user_.public_key}, {}};
  asio::co_spawn(guest_loop, serve(std::move(guest_end), options, read_all), asio::detached);
  std::unique_ptr<Client> client;
  std::unique_ptr<Channel> opened;
  const auto open = [&](UniqueFd end) -> Task<> {
    client = co_await Client::connect(std::move(end), client_key_, pinned_key_, kLimit);
    opened = co_await client->open(kShell, kLimit);
  };
  asio::co_spawn(loop_, open(std::move(host_end)), asio::detached);
  const auto go_on_until = [&](auto condition) {
    for (int turn = 0; turn < 100'000 && !condition(); ++turn) {
      guest_loop.poll();
      loop_.poll();
    }
  };
  go_on_until([&] { return opened != nullptr; });
  ASSERT_TRUE(opened && served);

  // Some are a little more than the socket takes at once. The client empties it between the writer's look at
  // it and that of a reader, whose turn is next.
  for (std::size_t size = 1000; size < 10'000; size += 50) {
    bool written = false;
    const auto write = [&]() -> Task<> {
      co_await served->write_all(std::string(size, 'x'));
      written = true;
    };
    asio::co_spawn(guest_loop, write(), asio::detached);
    asio::post(guest_loop, [&] { asio::post(guest_loop, [&] { loop_.poll(); }); });
    asio::co_spawn(guest_loop, read_to_end(*served, true), asio::detached);
    go_on_until([&] { return written; });
    ASSERT_TRUE(written) << size;
  }
  opened.reset();
  client.reset();
  go_on_until([] { return false; });
}

TEST_F(SshTest, LeavesTheLoopToOthersWhateverIsReadyOrBroken) {
  const auto reads_only = [](std::shared_ptr<Channel> channel, Request) -> Task<> {
    co_await read_to_end(*channel);
  };
  run(reads_only, [&](Client& client) -> Task<> {
    const auto channel = co_await client.open(kShell, kLimit);
    for (const char* outcome : {"succeed", "fail"}) {
      bool others_had_a_turn = false;
      asio::post(loop_, [&] { others_had_a_turn = true; });
      for (int i = 0; i < 100 && !others_had_a_turn; ++i) {
        try {
          co_await channel->write_all("x");
        } catch (const Error&) {
        }
      }
      EXPECT_TRUE(others_had_a_turn) << "beside writes that " << outcome << " at once";
      co_await sleep_for(Milliseconds(0));
      client.close();
    }
  });
}

TEST_F(SshTest, RefusesAWrongClientKey) {
  client_key_ = generate_key().private_key;
  EXPECT_THROW(run(no_session, [](Client&) -> Task<> { co_return; }), Error);
}

TEST_F(SshTest, RefusesAWrongHostKey) {
  pinned_key_ = generate_key().public_key;
  try {
    run(no_session, [](Client&) -> Task<> { co_return; });
    FAIL() << "connected";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::corrupt);
  }
}

TEST_F(SshTest, LeavesNoDescriptors) {
  run(no_session, [](Client& client) -> Task<> { co_await client.open(kShell, kLimit); });
  const int before = open_descriptors();
  for (int i = 0; i < 5; ++i) {
    loop_.restart();
    run(no_session, [](Client& client) -> Task<> { co_await client.open(kShell, kLimit); });
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(SshTest, RubbishInsteadOfAPeerIsAnError) {
  auto [host_end, peer] = make_socket_pair();
  write_all(peer.get(), std::string(100'000, '\x7f'));
  peer.reset();
  std::exception_ptr failure;
  asio::co_spawn(
      loop_,
      [](UniqueFd end, std::string key, std::string pinned) -> Task<> {
        co_await Client::connect(std::move(end), key, pinned, kLimit);
      }(std::move(host_end), client_key_, pinned_key_),
      [&](std::exception_ptr e) { failure = e; });
  loop_.run_for(std::chrono::seconds(30));
  ASSERT_TRUE(failure);
  EXPECT_THROW(std::rethrow_exception(failure), Error);
}

}  // namespace
}  // namespace berth::link::ssh
