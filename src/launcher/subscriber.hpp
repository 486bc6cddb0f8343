#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "launcher/interaction.hpp"

namespace berth::launcher {

/// What happens when a client does not read its output.
enum class SlowReader {
  wait,     ///< the session is held back until it reads: nothing is lost
  cut_off,  ///< the client gets an error frame and is closed: the session goes on
  lose,     ///< output is left out until it has read most of what is queued; then it is told how much
};

/// One client on an upgraded connection: frames out through a bounded queue, frames in.
class Subscriber : public std::enable_shared_from_this<Subscriber> {
 public:
  Subscriber(const asio::any_io_executor& executor, UniqueFd stream, std::string early, SlowReader policy);

  SlowReader policy() const { return policy_; }

  /// Queues output in frames of its own; what a closed client would have got is dropped, and so is what one
  /// that may lose output has no room for.
  void send_output(FrameKind kind, std::string_view bytes);
  void send(std::string frame);
  /// Queues the last frame; the connection closes once it is written.
  void finish(std::string last_frame);
  bool finished() const { return finished_; }

  /// More is queued than a client that reads would leave.
  bool overfull() const { return queued_ > kHighWater; }
  /// Few enough for the session to go on.
  bool has_room() const { return queued_ < kLowWater; }
  /// Waits until there is room or the client is gone.
  Task<> wait_room();

  /// The next frame of the client, or nothing at its end. Throws Code::corrupt.
  Task<std::optional<Frame>> receive();

  /// Writes the queue until the last frame is out or the client is gone. Run once, as a coroutine of its own.
  Task<> write_queue();
  /// Waits until write_queue is done.
  Task<> wait_done();
  bool done() const { return done_; }
  void close();

  static constexpr std::size_t kHighWater = 1u << 20;
  static constexpr std::size_t kLowWater = 256u << 10;

 private:
  bool leaves_out(std::size_t size);
  void tell_loss();

  Stream stream_;
  SlowReader policy_;
  std::deque<std::string> queue_;
  std::size_t queued_ = 0;
  std::uint64_t lost_ = 0;  ///< bytes left out that the client was not told of yet
  std::deque<Frame> received_;
  FrameParser parser_;
  std::string early_;
  Event changed_;
  bool finished_ = false;
  bool done_ = false;
};

}  // namespace berth::launcher
