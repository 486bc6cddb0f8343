// PID 1 of a machine that does nothing but write zeros to the attach port, as fast as the port takes them.
// Switches the machine off once the host has closed its end.

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "link/messages.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/devices.hpp"

namespace {

using namespace berth;

constexpr Milliseconds kPortLimit{10'000};
/// What the kernel's driver takes at most in one write.
constexpr std::size_t kAtOnce = 32 << 10;

Task<UniqueFd> open_port() {
  const auto executor = co_await asio::this_coro::executor;
  tether::os::Devices devices(executor);
  const std::string device = co_await devices.port(std::string(link::kAttachPort), kPortLimit);
  UniqueFd port = open_file(device, O_RDWR | O_NONBLOCK);
  co_await tether::os::wait_host_end(executor, port.get());
  co_return port;
}

Task<> flood() {
  const UniqueFd port = co_await open_port();
  check(::fcntl(port.get(), F_SETFL, 0), "make the port blocking");
  const std::string zeros(kAtOnce, '\0');
  while (::write(port.get(), zeros.data(), zeros.size()) > 0) {
  }
  tether::os::power_off();
}

}  // namespace

int main() {
  try {
    const tether::os::Modules modules = tether::os::boot();
    asio::io_context loop(1);
    spawn_detached(loop.get_executor(), "flood", flood());
    loop.run();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  tether::os::power_off();
}
