#include "base/async.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/io.hpp"

namespace {

int thrown = 0;

}  // namespace

// The linker has each throw come here (src/base/CMakeLists.txt), and knows these names.
// NOLINTBEGIN(readability-identifier-naming)
extern "C" [[noreturn]] void __real___cxa_throw(void* object, void* type, void (*destroy)(void*));
extern "C" [[noreturn]] void __wrap___cxa_throw(void* object, void* type, void (*destroy)(void*)) {
  ++thrown;
  __real___cxa_throw(object, type, destroy);
}
// NOLINTEND(readability-identifier-naming)

namespace berth {
namespace {

constexpr Milliseconds kLong{600'000};

class AsyncTest : public testing::Test {
 protected:
  /// Runs the coroutine; what it throws is thrown here. Fails when it does not end by itself.
  void run(Task<> task) {
    std::exception_ptr failure;
    bool ended = false;
    loop.restart();
    asio::co_spawn(loop, std::move(task), [&](std::exception_ptr thrown) {
      failure = thrown;
      ended = true;
    });
    loop.run_for(std::chrono::seconds(30));
    ASSERT_TRUE(ended);
    if (failure) std::rethrow_exception(failure);
  }

  asio::io_context loop;
};

Task<> fail() {
  throw Error(Code::wrong_state, "not now");
  co_return;
}

TEST_F(AsyncTest, ADeadlineDoesNotHoldBackAFailure) {
  try {
    run(with_deadline(kLong, "failing", fail()));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::wrong_state);
  }
}

TEST_F(AsyncTest, ADeadlineEndsATask) {
  try {
    run(with_deadline(Milliseconds(10), "sleeping", sleep_for(kLong)));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::timeout);
    EXPECT_EQ(error.message(), "sleeping took longer than 10 ms");
  }
}

TEST_F(AsyncTest, ATaskInTimeIsJustThat) {
  EXPECT_NO_THROW(run(with_deadline(kLong, "sleeping", sleep_for(Milliseconds(1)))));
}

TEST_F(AsyncTest, WorkThatEndsByItselfThrowsNothing) {
  Event stop(loop.get_executor());
  const int before = thrown;
  run(with_deadline(kLong, "sleeping", sleep_for(Milliseconds(1))));
  run([](Event& waited) -> Task<> {
    const bool ended = co_await run_until(waited, sleep_for(Milliseconds(1)));
    EXPECT_TRUE(ended);
  }(stop));
  EXPECT_EQ(thrown, before);
}

TEST_F(AsyncTest, ANotificationEndsWorkAndTheEndOfItsEventDoesNot) {
  for (const bool notified : {true, false}) {
    auto stop = std::make_unique<Event>(loop.get_executor());
    asio::post(loop, [&] {
      asio::post(loop, [&] {
        if (notified) stop->notify_all();
        stop.reset();
      });
    });
    run([](Event& waited, bool is_stopped) -> Task<> {
      const bool ended = co_await run_until(waited, sleep_for(is_stopped ? kLong : Milliseconds(20)));
      EXPECT_EQ(ended, !is_stopped);
    }(*stop, notified));
  }
}

TEST_F(AsyncTest, WorkThatIsCancelledFromOutsideSaysSo) {
  Event stop(loop.get_executor());
  const auto until = [](Event& waited) -> Task<> { co_await run_until(waited, sleep_for(kLong)); };
  for (const bool has_deadline : {true, false}) {
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    asio::co_spawn(loop, has_deadline ? with_deadline(kLong, "sleeping", sleep_for(kLong)) : until(stop),
                   asio::bind_cancellation_slot(
                       signal.slot(), [&](std::exception_ptr thrown_here) { failure = thrown_here; }));
    run([](asio::cancellation_signal& sent) -> Task<> {
      co_await sleep_for(Milliseconds(5));
      sent.emit(asio::cancellation_type::all);
      co_await sleep_for(Milliseconds(5));
    }(signal));
    ASSERT_TRUE(failure);
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      EXPECT_TRUE(is_cancelled(error)) << error.what();
    }
  }
}

TEST_F(AsyncTest, TwoTasksEachComeToTheirEnd) {
  for (const bool failure_first : {true, false}) {
    bool other_ended = false;
    const auto succeed = [&]() -> Task<> {
      co_await sleep_for(Milliseconds(1));
      other_ended = true;
    };
    const auto both = [&]() -> Task<> {
      if (failure_first) co_return co_await run_both(fail(), succeed());
      co_await run_both(succeed(), fail());
    };
    EXPECT_THROW(run(both()), Error);
    EXPECT_TRUE(other_ended);
  }
}

TEST_F(AsyncTest, AnEventWakesAllThatWait) {
  Event event(loop.get_executor());
  int woken = 0;
  for (int i = 0; i < 3; ++i) {
    spawn_detached(loop.get_executor(), "waiter", [](Event& waited, int& count) -> Task<> {
      co_await waited.wait();
      ++count;
    }(event, woken));
  }
  run([](Event& notified) -> Task<> {
    co_await sleep_for(Milliseconds(1));
    notified.notify_all();
    EXPECT_FALSE(co_await notified.wait_for(Milliseconds(10)));
  }(event));
  EXPECT_EQ(woken, 3);
}

TEST_F(AsyncTest, ANotificationDirectlyAfterTheWaitBeganIsNotLost) {
  Event event(loop.get_executor());
  run([](Event& waited) -> Task<> {
    asio::post(waited.executor(), [&waited] { waited.notify_all(); });
    EXPECT_TRUE(co_await waited.wait_for(Milliseconds(5'000)));
  }(event));
}

TEST_F(AsyncTest, AWaitEndsAtItsDeadlineAlsoWhenThatHasPassed) {
  Event event(loop.get_executor());
  run([](Event& waited) -> Task<> {
    const auto now = std::chrono::steady_clock::now();
    const bool was_notified_in_time = co_await waited.wait_until(now + Milliseconds(5));
    EXPECT_FALSE(was_notified_in_time);
    EXPECT_GE(std::chrono::steady_clock::now(), now + Milliseconds(5));
    EXPECT_FALSE(co_await waited.wait_until(now));
  }(event));
}

TEST_F(AsyncTest, TheEndOfAnEventEndsItsWaits) {
  auto event = std::make_unique<Event>(loop.get_executor());
  bool ended = false;
  spawn_detached(loop.get_executor(), "waiter", [](Event& waited, bool& done) -> Task<> {
    try {
      co_await waited.wait_for(Milliseconds(5'000));
    } catch (const Error& error) {
      done = is_cancelled(error);
    }
  }(*event, ended));
  run([](std::unique_ptr<Event>& owned) -> Task<> {
    co_await sleep_for(Milliseconds(1));
    owned.reset();
    co_await sleep_for(Milliseconds(1));
  }(event));
  EXPECT_TRUE(ended);
}

TEST_F(AsyncTest, AStreamCarriesBytesAndItsEnd) {
  auto [a, b] = make_socket_pair();
  Stream writer(loop.get_executor(), std::move(a));
  Stream reader(loop.get_executor(), std::move(b));
  std::size_t received = 0;
  constexpr std::size_t kSize = 1u << 20;
  spawn_detached(loop.get_executor(), "writer", [](Stream& to) -> Task<> {
    co_await to.write_all(std::string(kSize, 'x'));
    to.close();
  }(writer));
  run([](Stream& from, std::size_t& count) -> Task<> {
    char buffer[4096];
    while (const std::size_t n = co_await from.read_some(buffer, sizeof buffer)) count += n;
  }(reader, received));
  EXPECT_EQ(received, kSize);
}

TEST_F(AsyncTest, ACancelledReadIsRecognised) {
  auto [a, b] = make_socket_pair();
  Stream stream(loop.get_executor(), std::move(a));
  spawn_detached(loop.get_executor(), "canceller", [](Stream& cancelled) -> Task<> {
    co_await sleep_for(Milliseconds(1));
    cancelled.cancel();
  }(stream));
  try {
    run([](Stream& from) -> Task<> {
      char buffer[16];
      co_await from.read_some(buffer, sizeof buffer);
    }(stream));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_TRUE(is_cancelled(error));
  }
}

TEST_F(AsyncTest, AChildsEndIsSeen) {
  ProcessSpec spec;
  spec.program = "sh";
  spec.arguments = {"-c", "exit 7"};
  Process child = Process::spawn(spec);
  run([](Process& waited) -> Task<> {
    const ExitStatus status = co_await wait_exit(waited);
    EXPECT_EQ(status.code, 7);
  }(child));
}

TEST_F(AsyncTest, AWaitThatWasGivenUpLeavesTheChildToItsOwner) {
  ProcessSpec spec;
  spec.program = "sleep";
  spec.arguments = {"1000"};
  Process child = Process::spawn(spec);
  EXPECT_THROW(run(with_deadline(Milliseconds(10), "the child",
                                 [](Process& waited) -> Task<> { co_await wait_exit(waited); }(child))),
               Error);
  child.signal(SIGKILL);
  EXPECT_EQ(child.wait().signal, SIGKILL);
}

}  // namespace
}  // namespace berth
