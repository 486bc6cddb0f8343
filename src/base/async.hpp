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
#include <boost/intrusive/list.hpp>

#include "base/process.hpp"
#include "base/read_only_opens.hpp"
#include "base/unique_fd.hpp"

namespace berth {

namespace asio = boost::asio;
template <typename T = void>
using Task = asio::awaitable<T>;
using Milliseconds = std::chrono::milliseconds;

/// How a wait for an event ended.
enum class Waited { notified, late, cancelled };

/// Wakes the coroutines that wait for it; all on one loop. A notification without a waiter is not kept:
/// wait in a loop on a condition. A wait counts from its call on. Waits that the end of the event or a
/// cancellation ends throw.
class Event {
 public:
  explicit Event(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void notify_all();
  Task<> wait();
  /// False when `deadline` passed first; at once when it has passed already.
  Task<bool> wait_until(std::chrono::steady_clock::time_point deadline);
  /// False when `limit` passed first.
  Task<bool> wait_for(Milliseconds limit);
  /// As wait_until, but a cancellation is no exception, and the wait begins even when `deadline` has passed.
  Task<Waited> try_wait_until(std::chrono::steady_clock::time_point deadline);
  const asio::any_io_executor& executor() const { return executor_; }

 private:
  /// One coroutine that waits; it leaves the list by itself when its frame ends.
  struct Waiter
      : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    Waiter(const asio::any_io_executor& executor, std::chrono::steady_clock::time_point deadline)
        : timer(executor, deadline) {}

    asio::steady_timer timer;
    bool notified = false;
    bool orphaned = false;  ///< the event has ended
  };

  asio::any_io_executor executor_;
  boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>> waiters_;
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

/// Gives whatever else is ready its turn first. For loops whose other waits may all be over at once.
Task<> yield_to_loop();

/// Runs `task`; past `limit` it is cancelled and Code::timeout is thrown with `what` in the message.
Task<> with_deadline(Milliseconds limit, std::string what, Task<> task);

/// Runs `task`; a notification of `stop` cancels it. Whether it came to its own end.
Task<bool> run_until(Event& stop, Task<> task);

/// Runs both at the same time, each to its own end; then rethrows what the first one threw, else the second.
Task<> run_both(Task<> first, Task<> second);

/// Waits for the end of a child of this process and reaps it.
Task<ExitStatus> wait_exit(Process& process);

/// Answers until no process is left that could ask. Throws Error.
Task<> answer_opens(ReadOnlyOpens opens);

/// Starts a coroutine that nobody waits for. An Error that leaves it is logged with `name`.
void spawn_detached(const asio::any_io_executor& executor, std::string name, Task<> task);

/// True when an Error or system_error says that the operation was cancelled.
bool is_cancelled(const std::exception& error);

}  // namespace berth
