#include "launcher/copy_client.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/error.hpp"
#include "launcher/http.hpp"

namespace berth::launcher {

CopyStream::CopyStream(Client client, const CopyRequest& request)
    : stream_(client.open_stream("/v1/copy", format_copy(request))) {}

/// Takes in what has come, or waits for something. False when the stream has ended.
bool CopyStream::receive() {
  if (ended_) return false;
  char buffer[64u << 10];
  std::string_view bytes = stream_.early;
  if (bytes.empty()) {
    ssize_t n = 0;
    do {
      n = ::read(stream_.stream.get(), buffer, sizeof buffer);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) throw Error(Code::unavailable, "the container's launcher ended during the copy");
    bytes = {buffer, static_cast<std::size_t>(n)};
  }
  std::optional<Error> failure;
  parser_.feed(bytes, [&](Frame&& frame) {
    if (frame.kind == FrameKind::standard_output) pieces_.push_back(std::move(frame.payload));
    if (frame.kind == FrameKind::standard_error && warnings_.size() < link::archive::kAnswerLimit)
      warnings_ += frame.payload;
    if (frame.kind == FrameKind::exit) ended_ = true;
    if (frame.kind == FrameKind::error) failure = decode_error(frame.payload);
  });
  stream_.early.clear();
  if (failure) throw *failure;
  return true;
}

std::string_view CopyStream::next() {
  do {
    while (pieces_.empty() && receive()) {
    }
    if (pieces_.empty()) return {};
    piece_ = std::move(pieces_.front());
    pieces_.pop_front();
  } while (piece_.empty());
  return piece_;
}

link::archive::PathStat CopyStream::path_stat() {
  std::string line;
  std::size_t end = std::string::npos;
  while ((end = line.find('\n')) == std::string::npos) {
    const std::string_view piece = next();
    if (piece.empty() || line.size() > link::archive::kAnswerLimit)
      throw Error(Code::corrupt, "the guest did not say what the path is");
    line += piece;
  }
  if (end + 1 < line.size()) pieces_.push_front(line.substr(end + 1));
  return link::archive::decode_path_stat(std::string_view(line).substr(0, end));
}

/// False when the other end has closed after an orderly end; throws what it said otherwise.
bool CopyStream::send_frame(const std::string& frame) {
  std::string_view left = frame;
  while (!left.empty()) {
    const ssize_t n = ::send(stream_.stream.get(), left.data(), left.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      while (receive()) {
      }
      return false;
    }
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void CopyStream::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kFrameLimit);
    if (!send_frame(encode_frame(FrameKind::input, piece)))
      throw Error(Code::unavailable, "the container's machine did not take everything");
    bytes.remove_prefix(piece.size());
  }
}

void CopyStream::finish() {
  if (!ended_) send_frame(encode_frame(FrameKind::end_of_input, {}));
  while (receive()) pieces_.clear();
}

}  // namespace berth::launcher
