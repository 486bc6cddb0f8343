#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/async.hpp"
#include "base/unique_fd.hpp"

namespace berth {

/// Reads a stream for as long as it lasts and keeps its last bytes.
class Tail {
 public:
  Tail(const asio::any_io_executor& executor, UniqueFd fd, std::size_t limit);
  Tail(Tail&&) noexcept = default;
  /// Stops reading.
  ~Tail();

  std::string text() const;
  /// Waits for the end of the stream. False past `limit`.
  Task<bool> wait_end(Milliseconds limit);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth
