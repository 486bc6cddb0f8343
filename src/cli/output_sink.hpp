#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"

namespace berth::cli {

/// Bytes on their way to one of the user's descriptors. Never blocks, and leaves the descriptor's flags
/// alone: other processes share them.
class OutputSink {
 public:
  /// `name` is for errors. `fd` stays the caller's and must outlive the sink.
  OutputSink(int fd, std::string name);

  void append(std::string_view bytes) { pending_ += bytes; }
  std::size_t size() const { return pending_.size() - done_; }
  bool empty() const { return size() == 0; }
  void discard() { done_ = pending_.size(); }

  /// What to poll for writability.
  int fd() const { return own_ ? own_.get() : fd_; }
  /// Call when poll says so. Throws when the other side is gone.
  void write_some();

 private:
  enum class Kind { socket, nonblocking, blocking };

  int fd_;
  std::string name_;
  Kind kind_ = Kind::blocking;
  UniqueFd own_;
  std::string pending_;
  std::size_t done_ = 0;
};

}  // namespace berth::cli
