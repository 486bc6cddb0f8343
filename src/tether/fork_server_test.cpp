#include "tether/fork_server.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"

namespace berth::tether {
namespace {

class ForkServerTest : public testing::Test {
 protected:
  ForkServerTest() {
    ::signal(SIGPIPE, SIG_IGN);  // as the tether does
    server_->listen(path_);
    server_->set_limit(3);
  }

  UniqueFd ask(std::string_view request) {
    UniqueFd client(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    check(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
    write_all(client.get(), request);
    loop_.restart();
    loop_.run_for(Milliseconds(30));
    return client;
  }
  std::string answer_of(const UniqueFd& client) {
    loop_.restart();
    loop_.run_for(Milliseconds(30));
    char buffer[256];
    const ssize_t size = ::recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return size < 0 ? "none yet" : std::string(buffer, static_cast<std::size_t>(size));
  }

  TempDir folder_{std::filesystem::temp_directory_path(), "berth-fork-"};
  std::string path_ = folder_.path() / "fork.sock";
  asio::io_context loop_;
  std::vector<std::int64_t> asked_;
  std::shared_ptr<ForkServer> server_ = std::make_shared<ForkServer>(
      loop_.get_executor(), [this](std::int64_t count) { asked_.push_back(count); });
};

TEST_F(ForkServerTest, WhoAsksWaitsForTheHostsLine) {
  const UniqueFd client = ask("fork 2\n");
  EXPECT_EQ(asked_, std::vector<std::int64_t>({2}));
  EXPECT_EQ(answer_of(client), "none yet");
  server_->answer("parent a b");
  EXPECT_EQ(answer_of(client), "parent a b\n");
  EXPECT_EQ(asked_, std::vector<std::int64_t>({2, 0}));
  EXPECT_THROW(server_->answer("parent a b"), Error);
}

TEST_F(ForkServerTest, OneRequestAtATimeAndNoMoreCopiesThanTheLimit) {
  const UniqueFd first = ask("fork 2\n");
  EXPECT_EQ(answer_of(ask("fork 1\n")), "error busy another fork is being made\n");
  server_->answer("error capacity the disk is full");
  EXPECT_EQ(answer_of(first), "error capacity the disk is full\n");
  const UniqueFd second = ask("fork 3\n");  // what failed does not count
  server_->answer("parent a b c");
  EXPECT_EQ(answer_of(second), "parent a b c\n");
  EXPECT_EQ(answer_of(ask("fork 1\n")).substr(0, 15), "error capacity ");
  server_->give_up();
  server_->note_copy();
  server_->set_limit(1);
  const UniqueFd third = ask("fork 1\n");
  EXPECT_EQ(asked_.back(), 1);
  server_->give_up();
  EXPECT_EQ(answer_of(third).substr(0, 15), "error conflict ");
}

TEST_F(ForkServerTest, OneWhoGoesAwayCancelsNothing) {
  ask("fork 1\n");
  EXPECT_EQ(asked_, std::vector<std::int64_t>({1}));
  server_->answer("parent a");
  EXPECT_EQ(answer_of(ask("fork 0\n")).substr(0, 23), "error invalid-argument ");
  EXPECT_EQ(asked_, std::vector<std::int64_t>({1, 0}));
}

TEST(ForkRequest, IsAVerbAndANumber) {
  EXPECT_EQ(parse_fork_request("fork 1"), 1);
  EXPECT_EQ(parse_fork_request("fork 1000"), 1000);
  for (const char* bad : {"", "fork", "fork ", "fork 0", "fork -1", "fork 1001", "fork 1x", "spoon 1"})
    EXPECT_THROW(parse_fork_request(bad), Error) << bad;
}

}  // namespace
}  // namespace berth::tether
