#pragma once

// Helpers of this folder's tests.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/async.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/qcow2.hpp"

namespace berth::hypervisor {

/// Runs a coroutine on a loop of its own to its end and rethrows what it throws; fails past two minutes.
inline void run_task(const std::function<Task<>()>& body) {
  constexpr std::chrono::minutes kLimit{2};
  asio::io_context loop;
  bool done = false;
  std::exception_ptr failure;
  asio::co_spawn(loop, body(), [&](std::exception_ptr thrown) {
    done = true;
    failure = thrown;
  });
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  while (!done && loop.run_one_until(deadline) > 0) continue;
  if (failure) std::rethrow_exception(failure);
  if (!done) throw Error(Code::timeout, "the test did not end");
  loop.poll();  // what the objects of the body left to do
}

inline Task<> read_line_into(Stream& stream, std::string& line) {
  char byte = 0;
  while (true) {
    co_await stream.read_exactly(&byte, 1);
    if (byte == '\n') co_return;
    line += byte;
  }
}

/// Up to the next '\n'; throws Code::timeout past half a minute, as long as a boot may take on a busy host.
inline Task<std::string> read_line(Stream& stream) {
  std::string line;
  co_await with_deadline(Milliseconds(30'000), "a line from the guest", read_line_into(stream, line));
  co_return line;
}

/// Waits for the guest of testing/main.cpp to be up.
inline Task<> wait_hello(const Machine& machine, Stream& control) {
  try {
    const std::string line = co_await read_line(control);
    EXPECT_EQ(line, "hello");
  } catch (const Error&) {
    ADD_FAILURE() << "the guest's console:\n" << machine.console_tail();
    throw;
  }
}

template <typename T>
Task<> discard(Task<T> task) {
  co_await std::move(task);
}

/// The code of the Error that `task` throws, or nothing.
inline Task<std::optional<Code>> code_of(Task<> task) {
  try {
    co_await std::move(task);
  } catch (const Error& error) {
    co_return error.code();
  }
  co_return std::nullopt;
}

inline std::optional<Code> code_thrown(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

/// The console once it holds `text`, or after ten seconds.
inline Task<std::string> console_with(const Machine& machine, std::string text) {
  for (int tries = 0; tries < 1000 && machine.console_tail().find(text) == std::string::npos; ++tries) {
    co_await sleep_for(Milliseconds(10));
  }
  co_return machine.console_tail();
}

/// A TCP port of 127.0.0.1 that nobody listens on.
inline std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), "bind");
  check(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

/// An unnamed file of that size; its descriptor is given to a machine.
class DiskFile {
 public:
  DiskFile(std::uint64_t size, bool read_only)
      : kept_(check(::memfd_create("disk", MFD_CLOEXEC), "memfd_create")) {
    check(::ftruncate(kept_.get(), static_cast<off_t>(size)), "ftruncate");
    given_ = open_file("/proc/self/fd/" + std::to_string(kept_.get()), read_only ? O_RDONLY : O_RDWR);
  }
  /// An untouched overlay of that size.
  static DiskFile overlay(std::uint64_t size) {
    DiskFile file(0, false);
    make_overlay(file.fd(), size);
    return file;
  }
  int fd() const { return given_.get(); }
  /// A descriptor for reading alone.
  UniqueFd layer() const { return open_file("/proc/self/fd/" + std::to_string(kept_.get()), O_RDONLY); }
  /// Closes the descriptor that was given away; reading goes on.
  void close() { given_.reset(); }
  std::string read(std::uint64_t offset, std::size_t size) const {
    std::string bytes(size, '\0');
    check(::pread(kept_.get(), bytes.data(), size, static_cast<off_t>(offset)), "pread");
    return bytes;
  }
  std::string all() const {
    struct stat info;
    check(::fstat(kept_.get(), &info), "fstat");
    return read(0, static_cast<std::size_t>(info.st_size));
  }

 private:
  UniqueFd given_;
  UniqueFd kept_;
};

}  // namespace berth::hypervisor
