#include "tar/stream.hpp"

#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"

namespace berth::tar {

Source source_of(int fd, std::string doing) {
  return [fd, doing = std::move(doing), buffer = std::string(kPieceSize, '\0')]() mutable {
    ssize_t n = 0;
    do {
      n = ::read(fd, buffer.data(), buffer.size());
    } while (n < 0 && errno == EINTR);
    check(n, doing);
    return std::string_view(buffer.data(), static_cast<std::size_t>(n));
  };
}

}  // namespace berth::tar
