#include "hypervisor/qemu/qmp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <vector>

#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "hypervisor/testing/testing.hpp"

namespace berth::hypervisor::qemu {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr Milliseconds kLimit{10'000};
constexpr std::string_view kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}})"
    "\r\n";

/// A client and the test's end of its connection, past the negotiation.
struct Pair {
  explicit Pair(const asio::any_io_executor& executor) {
    auto [near, far] = make_socket_pair();
    client.emplace(executor, std::move(near),
                   [this](const QmpEvent& event) { events.push_back(event.name); });
    peer.emplace(executor, std::move(far));
  }
  Task<> serve_negotiation() {
    co_await peer->write_all(kGreeting);
    EXPECT_EQ(co_await read_line(*peer), R"({"execute":"qmp_capabilities","id":1})");
    co_await peer->write_all("{\"return\": {}, \"id\": 1}\r\n");
  }
  Task<> negotiate() {
    spawn_detached(co_await asio::this_coro::executor, "peer", serve_negotiation());
    co_await client->negotiate(kLimit);
  }
  /// Answers the next command once it has come.
  Task<> answer(std::string bytes) {
    co_await read_line(*peer);
    co_await peer->write_all(bytes);
  }

  std::optional<QmpClient> client;
  std::optional<Stream> peer;
  std::vector<std::string> events;
};

void with_pair(std::function<Task<>(Pair&)> body) {
  run_task([&]() -> Task<> {
    Pair pair(co_await asio::this_coro::executor);
    co_await pair.negotiate();
    co_await body(pair);
  });
}

TEST(Qmp, NegotiatesAndKnowsTheVersion) {
  with_pair([](Pair& pair) -> Task<> {
    EXPECT_EQ(pair.client->version(), "7.2.22");
    co_return;
  });
}

TEST(Qmp, RepliesFindTheirCommandsWithEventsBetween) {
  with_pair([](Pair& pair) -> Task<> {
    const auto executor = co_await asio::this_coro::executor;
    std::vector<std::string> answers;
    Event done(executor);
    const auto ask = [&](std::string command) -> Task<> {
      answers.push_back(command + json::serialize(co_await pair.client->execute(command)));
      done.notify_all();
    };
    spawn_detached(executor, "a", ask("a"));
    spawn_detached(executor, "b", ask("b"));
    co_await read_line(*pair.peer);
    co_await read_line(*pair.peer);
    co_await pair.peer->write_all(
        "{\"return\": 3, \"id\": 3}\r\n{\"event\": \"RESET\", \"timestamp\": {}}\r\n{\"ret");
    co_await pair.peer->write_all("urn\": 2, \"id\": 2}\r\n{\"event\": \"STOP\"}\r\n");
    while (answers.size() < 2) co_await done.wait_for(kLimit);
    EXPECT_THAT(answers, UnorderedElementsAre("a2", "b3"));
    EXPECT_THAT(pair.events, ElementsAre("RESET", "STOP"));
  });
}

TEST(Qmp, AFailureCarriesTheDescription) {
  with_pair([](Pair& pair) -> Task<> {
    spawn_detached(co_await asio::this_coro::executor, "peer",
                   pair.answer(R"({"id": 2, "error": {"class": "DeviceNotFound", "desc": "no 'x' here"}})"
                               "\n"));
    try {
      co_await pair.client->execute("device_del");
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::not_found);
      EXPECT_STREQ(error.what(), "QEMU: device_del: no 'x' here");
    }
  });
}

TEST(Qmp, ALateReplyIsDropped) {
  with_pair([](Pair& pair) -> Task<> {
    EXPECT_EQ(co_await code_of(discard(pair.client->execute("stop", {}, Milliseconds(10)))), Code::timeout);
    co_await read_line(*pair.peer);
    co_await pair.peer->write_all("{\"return\": {}, \"id\": 2}\n");
    spawn_detached(co_await asio::this_coro::executor, "peer", pair.answer("{\"return\": 1, \"id\": 3}\n"));
    EXPECT_EQ(co_await pair.client->execute("cont"), json::value(1));
  });
}

TEST(Qmp, TheEndOfTheConnectionEndsAllCommands) {
  with_pair([](Pair& pair) -> Task<> {
    const auto hang_up = [](Pair& both) -> Task<> {
      co_await read_line(*both.peer);
      both.peer->close();
    };
    spawn_detached(co_await asio::this_coro::executor, "peer", hang_up(pair));
    EXPECT_EQ(co_await code_of(discard(pair.client->execute("stop"))), Code::unavailable);
    EXPECT_TRUE(co_await pair.client->wait_closed(kLimit));
    EXPECT_EQ(co_await code_of(discard(pair.client->execute("stop"))), Code::unavailable);
  });
}

TEST(Qmp, DestroyingTheClientEndsItsCommands) {
  with_pair([](Pair& pair) -> Task<> {
    const auto destroy = [](Pair& both) -> Task<> {
      co_await read_line(*both.peer);
      both.client.reset();
    };
    spawn_detached(co_await asio::this_coro::executor, "peer", destroy(pair));
    EXPECT_EQ(co_await code_of(discard(pair.client->execute("stop"))), Code::unavailable);
  });
}

TEST(Qmp, WhatIsNotQmpEndsTheConnection) {
  with_pair([](Pair& pair) -> Task<> {
    co_await pair.peer->write_all("qemu: hello\n");
    EXPECT_EQ(co_await code_of(discard(pair.client->execute("stop"))), Code::unavailable);
  });
}

TEST(Qmp, ASilentPeerIsATimeout) {
  run_task([]() -> Task<> {
    Pair pair(co_await asio::this_coro::executor);
    EXPECT_EQ(co_await code_of(pair.client->negotiate(Milliseconds(10))), Code::timeout);
  });
}

TEST(QmpReader, TakesBytesInAnyPieces) {
  const std::string bytes =
      std::string(kGreeting) + "\n{\"return\": [1], \"id\": 5}\n{\"error\": {\"desc\": \"d\"}}\n";
  for (const std::size_t piece : {1u, 2u, 7u, 1000u}) {
    QmpReader reader;
    std::vector<std::size_t> kinds;
    for (std::size_t i = 0; i < bytes.size(); i += piece) {
      reader.append(std::string_view(bytes).substr(i, piece));
      while (const auto message = reader.next()) kinds.push_back(message->index());
    }
    EXPECT_THAT(kinds, ElementsAre(0, 1, 2));
  }
}

TEST(QmpReader, RefusesWhatIsMalformed) {
  for (const char* line :
       {"[]", "{}", "{", "{\"return\": {}}", "{\"return\": 1, \"id\": \"x\"}", "{\"QMP\": 1}",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}}}", "{\"error\": 1}"}) {
    EXPECT_EQ(code_thrown([&] { parse_qmp_message(line); }), Code::corrupt) << line;
  }
}

TEST(QmpReader, BoundsALine) {
  QmpReader reader;
  const std::string piece(std::size_t{1} << 20, ' ');
  const auto feed = [&] {
    for (std::size_t fed = 0; fed <= kQmpLineLimit; fed += piece.size()) {
      reader.append(piece);
      reader.next();
    }
  };
  EXPECT_EQ(code_thrown(feed), Code::corrupt);
}

TEST(Qmp, SpeaksWithQemu) {
  run_task([]() -> Task<> {
    auto [near, far] = make_socket_pair();
    ProcessSpec spec;
    spec.program = "qemu-system-x86_64";
    spec.arguments = {"-nodefaults", "-display",
                      "none",        "-machine",
                      "none",        "-S",
                      "-chardev",    "socket,id=monitor,fd=3",
                      "-mon",        "chardev=monitor,mode=control"};
    spec.descriptors = {{far.get(), 3}};
    spec.parent_death_signal = SIGKILL;
    Process process = Process::spawn(spec);
    far.reset();
    QmpClient client(co_await asio::this_coro::executor, std::move(near), nullptr);
    co_await client.negotiate(kLimit);
    EXPECT_THAT(client.version(), HasSubstr("."));
    const json::value status = co_await client.execute("query-status");
    EXPECT_FALSE(status.at("running").as_bool());
    EXPECT_EQ(co_await code_of(discard(client.execute("no-such-command"))), Code::unsupported);
    co_await client.execute("quit");
    EXPECT_TRUE(co_await client.wait_closed(kLimit));
    EXPECT_TRUE((co_await wait_exit(process)).success());
  });
}

}  // namespace
}  // namespace berth::hypervisor::qemu
