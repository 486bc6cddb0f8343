#include "base/tail.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace berth {

struct Tail::State {
  State(const asio::any_io_executor& executor, UniqueFd fd, std::size_t most)
      : stream(executor, std::move(fd)), changed(executor), limit(most) {}

  void append(std::string_view bytes) {
    kept.append(bytes);
    if (kept.size() > 2 * limit) kept.erase(0, kept.size() - limit);
  }

  static Task<> read(std::shared_ptr<State> self) {
    try {
      std::string buffer(16 * 1024, '\0');
      while (const std::size_t count = co_await self->stream.read_some(buffer.data(), buffer.size())) {
        self->append({buffer.data(), count});
      }
    } catch (const Error&) {
      // The writer was killed, or nobody wants the rest: an end like any other.
    }
    self->ended = true;
    self->changed.notify_all();
  }

  static Task<bool> wait_end(std::shared_ptr<State> self, Milliseconds within) {
    if (!self->ended) co_await self->changed.wait_for(within);
    co_return self->ended;
  }

  Stream stream;
  Event changed;
  std::size_t limit;
  std::string kept;
  bool ended = false;
};

Tail::Tail(const asio::any_io_executor& executor, UniqueFd fd, std::size_t limit)
    : state_(std::make_shared<State>(executor, std::move(fd), limit)) {
  spawn_detached(executor, "tail", State::read(state_));
}

Tail::~Tail() {
  if (state_) state_->stream.close();
}

std::string Tail::text() const {
  const std::string& kept = state_->kept;
  return kept.substr(kept.size() - std::min(kept.size(), state_->limit));
}

Task<bool> Tail::wait_end(Milliseconds limit) {
  return State::wait_end(state_, limit);
}

}  // namespace berth
