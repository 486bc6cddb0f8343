#include "base/io.hpp"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/error.hpp"

namespace berth {

UniqueFd open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) throw errno_error("open " + path.string());
  return fd;
}

std::pair<UniqueFd, UniqueFd> make_pipe(int flags) {
  int ends[2];
  check(::pipe2(ends, flags | O_CLOEXEC), "pipe2");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> make_socket_pair(int type_flags) {
  int ends[2];
  const int type = (type_flags & 0xf) != 0 ? type_flags : type_flags | SOCK_STREAM;
  check(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

UniqueFd duplicate(int fd) {
  return UniqueFd(check(::fcntl(fd, F_DUPFD_CLOEXEC, 3), "duplicate a descriptor"));
}

void set_nonblocking(int fd, bool on) {
  const int flags = check(::fcntl(fd, F_GETFL), "fcntl");
  check(::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl");
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("write");
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

std::string read_all(int fd, std::size_t limit) {
  std::string content;
  char buffer[65536];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw errno_error("read");
    }
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > limit) throw Error(Code::capacity, "more than {} bytes to read", limit);
  }
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  try {
    return read_all(fd.get(), limit);
  } catch (Error& error) {
    error.add_context("read " + path.string());
    throw;
  }
}

std::optional<std::string> find_file(const std::filesystem::path& path, std::size_t limit) {
  try {
    return read_file(path, limit);
  } catch (const Error& error) {
    if (error.code() == Code::not_found) return std::nullopt;
    throw;
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view content, mode_t mode,
                           AfterPowerCut after_power_cut) {
  const bool sync = after_power_cut == AfterPowerCut::kept;
  std::string temporary = path.string() + ".XXXXXX";
  UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) throw errno_error("create a file beside " + path.string());
  try {
    check(::fchmod(fd.get(), mode), "fchmod");
    write_all(fd.get(), content);
    if (sync) check(::fsync(fd.get()), "fsync");
    check(::rename(temporary.c_str(), path.c_str()), "rename");
    if (!sync) return;
    const UniqueFd folder = open_file(
        path.has_parent_path() ? path.parent_path() : std::filesystem::path("."), O_RDONLY | O_DIRECTORY);
    check(::fsync(folder.get()), "fsync");
  } catch (Error& error) {
    ::unlink(temporary.c_str());
    error.add_context("write " + path.string());
    throw;
  }
}

void write_kernel_file(const std::filesystem::path& path, std::string_view content) {
  const UniqueFd fd = open_file(path, O_WRONLY);
  if (::write(fd.get(), content.data(), content.size()) < 0) throw errno_error("write " + path.string());
}

}  // namespace berth
