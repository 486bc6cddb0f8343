// libssh sends and receives; a virtio-serial port is a character device and only reads and writes. The tether
// is linked with --wrap for both calls.

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

extern "C" {

ssize_t __real_send(int fd, const void* bytes, size_t size, int flags);
ssize_t __real_recv(int fd, void* bytes, size_t size, int flags);

ssize_t __wrap_send(int fd, const void* bytes, size_t size, int flags) {
  const ssize_t sent = __real_send(fd, bytes, size, flags);
  return sent < 0 && errno == ENOTSOCK ? ::write(fd, bytes, size) : sent;
}

ssize_t __wrap_recv(int fd, void* bytes, size_t size, int flags) {
  const ssize_t received = __real_recv(fd, bytes, size, flags);
  return received < 0 && errno == ENOTSOCK ? ::read(fd, bytes, size) : received;
}

}  // extern "C"
