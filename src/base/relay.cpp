#include "base/relay.hpp"

#include <sys/socket.h>

#include <boost/asio/this_coro.hpp>

namespace berth {
namespace {

constexpr std::size_t kCopySize = 64u << 10;

/// One way; a failure ends the other way too.
Task<> carry(Stream& from, Stream& to) {
  try {
    co_await copy_stream(from, to);
  } catch (...) {
    from.close();
    to.close();
    throw;
  }
  ::shutdown(to.fd(), SHUT_WR);
}

}  // namespace

Task<> copy_stream(Stream& from, Stream& to) {
  std::string buffer(kCopySize, '\0');
  while (const std::size_t n = co_await from.read_some(buffer.data(), buffer.size()))
    co_await to.write_all({buffer.data(), n});
}

Task<> relay(UniqueFd one, UniqueFd other, std::string early) {
  const auto executor = co_await asio::this_coro::executor;
  Stream first(executor, std::move(one));
  Stream second(executor, std::move(other));
  co_await first.write_all(early);
  co_await run_both(carry(first, second), carry(second, first));
}

}  // namespace berth
