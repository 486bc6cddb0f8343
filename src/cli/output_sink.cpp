#include "cli/output_sink.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace berth::cli {

OutputSink::OutputSink(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return;
  if (S_ISSOCK(status.st_mode)) {
    kind_ = Kind::socket;
  } else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
    // A new open file of the same pipe or terminal has flags of its own.
    own_.reset(
        ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (own_) kind_ = Kind::nonblocking;
  }
}

void OutputSink::write_some() {
  const char* const bytes = pending_.data() + done_;
  ssize_t written = 0;
  switch (kind_) {
    case Kind::socket:
      written = ::send(fd_, bytes, size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      break;
    case Kind::nonblocking:
      written = ::write(own_.get(), bytes, size());
      break;
    case Kind::blocking:
      // A writable pipe takes this much without blocking (pipe(7)).
      written = ::write(fd_, bytes, std::min<std::size_t>(size(), PIPE_BUF));
      break;
  }
  if (written < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    throw errno_error("write to " + name_);
  }
  done_ += static_cast<std::size_t>(written);
  if (empty()) {
    pending_.clear();
    done_ = 0;
  }
}

}  // namespace berth::cli
