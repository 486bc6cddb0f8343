#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "launcher/folder_server.hpp"
#include "launcher/http.hpp"
#include "launcher/launcher.hpp"
#include "launcher/server.hpp"
#include "launcher/start.hpp"

namespace {

using namespace berth;
using namespace berth::launcher;

constexpr Milliseconds kClientsLimit{600'000};

Task<> drive(Launcher& launcher, Server& server, asio::io_context& loop) {
  co_await launcher.run();
  // The pod is recorded and free; who still reads its output may take its time.
  co_await server.wait_idle(kClientsLimit);
  loop.stop();
}

int run_launcher(const LaunchArguments& arguments) {
  trace::Span span("launcher: record and server");
  asio::io_context loop(1);
  const SystemClock clock;
  record::Store records(arguments.settings.paths.database());
  hypervisor::QemuHypervisor qemu;
  FileLock lock =
      FileLock::adopt(UniqueFd(kLockDescriptor), arguments.settings.paths.pod_lock(arguments.settings.id));
  Launcher launcher(loop.get_executor(), qemu, records, clock, std::move(lock), arguments.settings);
  Server server(loop.get_executor(), launcher,
                arguments.settings.paths.pod_runtime(arguments.settings.id) / kSocketName);
  launcher.hold_start_for_first_client();
  server.serve(UniqueFd(kClientDescriptor), true);
  spawn_detached(loop.get_executor(), "server", server.accept_clients());
  spawn_detached(loop.get_executor(), "launcher", drive(launcher, server, loop));
  span.done();
  loop.run();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == kFolderCommand) return folder_server_main(argc, argv);
  try {
    ::signal(SIGPIPE, SIG_IGN);
    // A terminal's signals are for the client; an operator ends a pod with `berth stop`.
    for (const int number : {SIGINT, SIGHUP, SIGQUIT}) ::signal(number, SIG_IGN);
    const LaunchArguments arguments = parse_launch_arguments(argc, argv);
    trace::since_start("start of berth-launcher");
    log::set_tag(short_id(arguments.settings.id));
    return run_launcher(arguments);
  } catch (const std::exception& error) {
    log::error("{}", error.what());
    return 1;
  }
}
