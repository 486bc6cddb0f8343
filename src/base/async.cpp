#include "base/async.hpp"

#include <variant>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/impl/src.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"

namespace berth {
namespace {

using boost::system::error_code;

[[noreturn]] void throw_stream_error(const error_code& failure, std::string_view doing) {
  // A bad descriptor is a stream that was closed before the operation began.
  if (failure == asio::error::operation_aborted || failure == asio::error::bad_descriptor) {
    throw Error(Code::unavailable, "{}: cancelled", doing);
  }
  if (failure.category() == boost::system::system_category()) throw errno_error(doing, failure.value());
  throw Error(Code::unavailable, "{}: {}", doing, failure.message());
}

[[noreturn]] void throw_cancelled_wait() {
  throw Error(Code::unavailable, "wait: cancelled");
}

}  // namespace

Event::~Event() {
  for (Waiter& waiter : waiters_) {
    waiter.orphaned = true;
    waiter.timer.cancel();
  }
  waiters_.clear();
}

void Event::notify_all() {
  for (Waiter& waiter : waiters_) {
    waiter.notified = true;
    waiter.timer.cancel();
  }
  waiters_.clear();
}

Task<> Event::wait() {
  co_await wait_until(std::chrono::steady_clock::time_point::max());
}

Task<bool> Event::wait_for(Milliseconds limit) {
  co_return co_await wait_until(std::chrono::steady_clock::now() + limit);
}

Task<bool> Event::wait_until(std::chrono::steady_clock::time_point deadline) {
  // So that a loop whose event is notified all the time ends too.
  if (deadline <= std::chrono::steady_clock::now()) co_return false;
  const Waited waited = co_await try_wait_until(deadline);
  if (waited == Waited::cancelled) throw_cancelled_wait();
  co_return waited == Waited::notified;
}

Task<Waited> Event::try_wait_until(std::chrono::steady_clock::time_point deadline) {
  // Nothing may run between the caller's look at its condition and the entry into the list.
  Waiter waiter(executor_, deadline);
  waiters_.push_back(waiter);
  error_code failure;
  co_await waiter.timer.async_wait(asio::redirect_error(asio::use_awaitable, failure));
  if (waiter.notified) co_return Waited::notified;
  if (waiter.orphaned) throw_cancelled_wait();
  co_return failure ? Waited::cancelled : Waited::late;
}

Stream::Stream(const asio::any_io_executor& executor, UniqueFd fd) : descriptor_(executor) {
  set_nonblocking(fd.get());
  error_code failure;
  descriptor_.assign(fd.get(), failure);
  if (failure) throw_stream_error(failure, "watch a descriptor");
  (void)fd.release();
}

Task<std::size_t> Stream::read_some(char* buffer, std::size_t size) {
  error_code failure;
  const std::size_t n = co_await descriptor_.async_read_some(
      asio::buffer(buffer, size), asio::redirect_error(asio::use_awaitable, failure));
  if (failure == asio::error::eof) co_return 0;
  if (failure) throw_stream_error(failure, "read");
  co_return n;
}

Task<> Stream::read_exactly(char* buffer, std::size_t size) {
  while (size > 0) {
    const std::size_t n = co_await read_some(buffer, size);
    if (n == 0) throw Error(Code::unavailable, "read: the stream ended early");
    buffer += n;
    size -= n;
  }
}

Task<> Stream::write_all(std::string_view bytes) {
  error_code failure;
  co_await asio::async_write(descriptor_, asio::buffer(bytes.data(), bytes.size()),
                             asio::redirect_error(asio::use_awaitable, failure));
  if (failure) throw_stream_error(failure, "write");
}

Task<> Stream::wait_readable() {
  error_code failure;
  co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, failure));
  if (failure) throw_stream_error(failure, "wait to read");
}

Task<> Stream::wait_writable() {
  error_code failure;
  co_await descriptor_.async_wait(asio::posix::stream_descriptor::wait_write,
                                  asio::redirect_error(asio::use_awaitable, failure));
  if (failure) throw_stream_error(failure, "wait to write");
}

void Stream::cancel() {
  error_code ignored;
  descriptor_.cancel(ignored);
}

void Stream::close() {
  error_code ignored;
  descriptor_.close(ignored);
}

Task<> sleep_for(Milliseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

Task<> yield_to_loop() {
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

namespace {

/// What the task threw, as a value: operator|| takes a failure for "not yet" and would wait for the timer.
Task<std::exception_ptr> outcome_of(Task<> task) {
  try {
    co_await std::move(task);
  } catch (...) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

/// The first of both that returns cancels the other.
Task<std::variant<Waited, std::exception_ptr>> first_of(Task<Waited> wait, Task<std::exception_ptr> work) {
  using namespace asio::experimental::awaitable_operators;
  co_return co_await (std::move(wait) || std::move(work));
}

/// Whether the work came to its end, which throws what it threw.
bool is_done(const std::variant<Waited, std::exception_ptr>& first) {
  if (const Waited* waited = std::get_if<Waited>(&first)) {
    if (*waited == Waited::cancelled) throw_cancelled_wait();
    return false;
  }
  if (const auto& failure = std::get<std::exception_ptr>(first)) std::rethrow_exception(failure);
  return true;
}

}  // namespace

Task<> with_deadline(Milliseconds limit, std::string what, Task<> task) {
  Event never(co_await asio::this_coro::executor);
  Task<Waited> wait = never.try_wait_until(std::chrono::steady_clock::now() + limit);
  const auto first = co_await first_of(std::move(wait), outcome_of(std::move(task)));
  if (!is_done(first)) throw Error(Code::timeout, "{} took longer than {} ms", what, limit.count());
}

Task<bool> run_until(Event& stop, Task<> task) {
  Task<Waited> wait = stop.try_wait_until(std::chrono::steady_clock::time_point::max());
  co_return is_done(co_await first_of(std::move(wait), outcome_of(std::move(task))));
}

Task<> run_both(Task<> first, Task<> second) {
  using namespace asio::experimental::awaitable_operators;
  const auto [failure, other_failure] =
      co_await (outcome_of(std::move(first)) && outcome_of(std::move(second)));
  if (failure) std::rethrow_exception(failure);
  if (other_failure) std::rethrow_exception(other_failure);
}

Task<ExitStatus> wait_exit(Process& process) {
  if (auto status = process.try_wait()) co_return *status;
  // One of its own: a loop's descriptors do not block, and Process waits by blocking.
  Stream pidfd(co_await asio::this_coro::executor, process.open_pidfd());
  while (true) {
    if (auto status = process.try_wait()) co_return *status;
    co_await pidfd.wait_readable();
  }
}

Task<> answer_opens(ReadOnlyOpens opens) {
  Stream waiting(co_await asio::this_coro::executor, duplicate(opens.fd()));
  while (opens.answer()) co_await waiting.wait_readable();
}

void spawn_detached(const asio::any_io_executor& executor, std::string name, Task<> task) {
  asio::co_spawn(executor, std::move(task), [name = std::move(name)](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      if (!is_cancelled(error)) log::error("{}: {}", name, error.what());
    }
  });
}

bool is_cancelled(const std::exception& error) {
  if (const auto* system = dynamic_cast<const boost::system::system_error*>(&error)) {
    return system->code() == asio::error::operation_aborted;
  }
  if (const auto* ours = dynamic_cast<const Error*>(&error)) return ours->message().ends_with(": cancelled");
  return false;
}

}  // namespace berth
