#include "link/splice.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>

namespace berth::link {
namespace {

constexpr std::size_t kCopySize = 32u << 10;

/// True when the other end of a socket neither sends nor takes anything any more.
bool hung_up(int socket) {
  pollfd state{socket, 0, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

class Splice {
 public:
  Splice(ssh::Channel& channel, Stream& socket) : channel_(channel), socket_(socket) {}

  Task<> to_socket();
  Task<> to_channel();

 private:
  ssh::Channel& channel_;
  Stream& socket_;
  bool socket_ended_ = false;
};

Task<> Splice::to_socket() {
  std::string buffer(kCopySize, '\0');
  try {
    while (const std::size_t n = co_await channel_.read_some(buffer.data(), buffer.size()))
      co_await socket_.write_all({buffer.data(), n});
    ::shutdown(socket_.fd(), SHUT_WR);
    while (!socket_ended_ && !channel_.closed()) co_await channel_.wait_change();
  } catch (...) {
    socket_.close();
    throw;
  }
  // Nobody is left to send to.
  if (!socket_ended_) socket_.close();
}

Task<> Splice::to_channel() {
  std::string buffer(kCopySize, '\0');
  bool whole = true;
  try {
    while (const std::size_t n = co_await socket_.read_some(buffer.data(), buffer.size()))
      co_await channel_.write_all({buffer.data(), n});
  } catch (const std::exception&) {
    whole = false;
  }
  socket_ended_ = true;
  if (whole && !hung_up(socket_.fd()))
    co_await channel_.send_end();
  else
    co_await channel_.close();
}

}  // namespace

Task<> splice(std::shared_ptr<ssh::Channel> channel, UniqueFd socket) {
  Stream stream(co_await boost::asio::this_coro::executor, std::move(socket));
  Splice ways(*channel, stream);
  co_await run_both(ways.to_socket(), ways.to_channel());
  co_await channel->close();
}

}  // namespace berth::link
