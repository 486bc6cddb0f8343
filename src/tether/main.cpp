// PID 1 of a pod's machine.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "link/messages.hpp"
#include "tether/extensions/attach.hpp"
#include "tether/extensions/file_transfer.hpp"
#include "tether/extensions/toolbox.hpp"
#include "tether/os/boot.hpp"
#include "tether/os/devices.hpp"
#include "tether/os/generators.hpp"
#include "tether/sftp/server.hpp"
#include "tether/tether.hpp"

namespace {

using namespace berth;

constexpr Milliseconds kPortLimit{10'000};

Task<UniqueFd> open_port(tether::os::Devices& devices, std::string_view name) {
  const std::string device = co_await devices.port(std::string(name), kPortLimit);
  co_return open_file(device, O_RDWR | O_NONBLOCK);
}

Task<> serve(tether::os::Modules& modules, std::int64_t began_nanoseconds) {
  const auto executor = co_await asio::this_coro::executor;
  const SystemClock clock;
  tether::os::Devices devices(executor);
  tether::Tether::Ports ports;
  ports.control = co_await open_port(devices, link::kControlPort);
  ports.output = co_await open_port(devices, link::kOutputPort);
  UniqueFd attach_port = co_await open_port(devices, link::kAttachPort);
  co_await tether::os::wait_host_end(executor, ports.control.get());
  tether::Tether guest(executor, std::move(ports), devices, modules, clock, began_nanoseconds);
  guest.add(std::make_unique<tether::Toolbox>(guest));
  guest.add(std::make_unique<tether::FileTransfer>(guest));
  guest.add(std::make_unique<tether::Attach>(guest, std::move(attach_port)));
  try {
    co_await guest.run();
  } catch (const Error& error) {
    if (!guest.ordered_leave()) log::error("control port: {}", error.what());
  }
  // A machine without its host has nobody to run for.
  if (!guest.ordered_leave()) co_await guest.shut_down();
  if (guest.ordered_leave() == tether::Leave::reboot) tether::os::reboot();
  tether::os::power_off();
}

}  // namespace

int main(int count, char** words) {
  if (count == 1 && words[0] == tether::sftp::kServerName)
    return tether::sftp::serve(STDIN_FILENO, STDOUT_FILENO);
  if (::getpid() != 1) {
    std::fputs("berth-tether is the first process of a pod's machine and cannot be run by hand\n", stderr);
    return 2;
  }
  const std::int64_t began = tether::os::uptime_nanoseconds();
  ::signal(SIGPIPE, SIG_IGN);
  log::set_tag("tether");
  try {
    tether::os::Modules modules = tether::os::boot();
    tether::os::use_kernel_generator();
    asio::io_context loop(1);
    spawn_detached(loop.get_executor(), "tether", serve(modules, began));
    loop.run();
  } catch (const std::exception& error) {
    log::error("{}", error.what());
  }
  tether::os::power_off();
}
