#pragma once

#include <chrono>
#include <exception>
#include <string>
#include <string_view>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/process.hpp"
#include "base/unique_fd.hpp"

namespace berth {

namespace asio = boost::asio;
template <typename T = void>
using Task = asio::awaitable<T>;
using Milliseconds = std::chrono::milliseconds;

/// Wakes the coroutines that wait for it; all on one loop. A notification without a waiter is not kept:
/// wait in a loop on a condition.
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor);
  void notify_all();
  Task<> wait();
  /// False when `limit` passed first.
  Task<bool> wait_for(Milliseconds limit);
  asio::any_io_executor executor() { return timer_.get_executor(); }

 private:
  asio::steady_timer timer_;
  unsigned long count_ = 0;
};

/// An owned non-blocking descriptor on the loop: pipes, sockets, character devices, pidfds.
class Stream {
 public:
  Stream(const asio::any_io_executor& executor, UniqueFd fd);

  int fd() { return descriptor_.native_handle(); }
  /// At least one byte; 0 at the end of the stream. Throws Error.
  Task<std::size_t> read_some(char* buffer, std::size_t size);
  /// Exactly that many bytes; throws Code::unavailable when the stream ends before.
  Task<> read_exactly(char* buffer, std::size_t size);
  Task<> write_all(std::string_view bytes);
  Task<> wait_readable();
  Task<> wait_writable();
  /// Ends every operation that is under way on this stream with an Error.
  void cancel();
  void close();
  bool is_open() const { return descriptor_.is_open(); }

 private:
  asio::posix::stream_descriptor descriptor_;
};

Task<> sleep_for(Milliseconds duration);

/// Runs `task`; past `limit` it is cancelled and Code::timeout is thrown with `what` in the message.
Task<> with_deadline(Milliseconds limit, std::string what, Task<> task);

/// Waits for the end of a child of this process and reaps it.
Task<ExitStatus> wait_exit(Process& process);

/// Starts a coroutine that nobody waits for. An Error that leaves it is logged with `name`.
void spawn_detached(const asio::any_io_executor& executor, std::string name, Task<> task);

/// True when an Error or system_error says that the operation was cancelled.
bool is_cancelled(const std::exception& error);

}  // namespace berth
