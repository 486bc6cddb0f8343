#include "launcher/subscriber.hpp"

#include <utility>

namespace berth::launcher {

Subscriber::Subscriber(const asio::any_io_executor& executor, UniqueFd stream, std::string early,
                       SlowReader policy)
    : stream_(executor, std::move(stream)), policy_(policy), early_(std::move(early)), changed_(executor) {}

bool Subscriber::leaves_out(std::size_t size) {
  if (policy_ != SlowReader::lose) return false;
  const bool has_no_room = lost_ > 0 ? !has_room() : overfull();
  if (has_no_room) lost_ += size;
  return has_no_room;
}

void Subscriber::tell_loss() {
  if (lost_ > 0) send(encode_lost(std::exchange(lost_, 0)));
}

void Subscriber::send_output(FrameKind kind, std::string_view bytes) {
  if (leaves_out(bytes.size())) return;
  tell_loss();
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kFrameLimit);
    send(encode_frame(kind, piece));
    bytes.remove_prefix(piece.size());
  }
}

void Subscriber::send(std::string frame) {
  if (done_ || finished_) return;
  queued_ += frame.size();
  queue_.push_back(std::move(frame));
  changed_.notify_all();
}

void Subscriber::finish(std::string last_frame) {
  tell_loss();
  send(std::move(last_frame));
  finished_ = true;
  changed_.notify_all();
}

Task<> Subscriber::wait_room() {
  while (!has_room() && !done_) co_await changed_.wait();
}

Task<std::optional<Frame>> Subscriber::receive() {
  const auto keep = [this](Frame&& frame) { received_.push_back(std::move(frame)); };
  parser_.feed(std::exchange(early_, {}), keep);
  char buffer[16384];
  while (received_.empty()) {
    const std::size_t n = co_await stream_.read_some(buffer, sizeof buffer);
    if (n == 0) co_return std::nullopt;
    parser_.feed(std::string_view(buffer, n), keep);
  }
  Frame frame = std::move(received_.front());
  received_.pop_front();
  co_return frame;
}

Task<> Subscriber::write_queue() {
  try {
    while (!done_) {
      if (queue_.empty()) {
        if (finished_) break;
        co_await changed_.wait();
        continue;
      }
      const std::string frame = std::move(queue_.front());
      queue_.pop_front();
      co_await stream_.write_all(frame);
      queued_ -= frame.size();
      changed_.notify_all();
    }
  } catch (const std::exception&) {
    // The client is gone: what it would have read is in the log.
  }
  close();
}

void Subscriber::close() {
  if (done_) return;
  done_ = true;
  queue_.clear();
  queued_ = 0;
  stream_.close();
  changed_.notify_all();
}

Task<> Subscriber::wait_done() {
  while (!done_) co_await changed_.wait();
}

}  // namespace berth::launcher
