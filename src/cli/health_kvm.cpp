#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "cli/health.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::cli {

hypervisor::KvmAnswer ask_kvm(const engine::Paths& paths, bool again) {
  hypervisor::QemuHypervisor qemu;
  const SystemClock clock;
  hypervisor::KvmProbe::Settings settings;
  settings.state = paths.cache();
  settings.kernel = hypervisor::find_kernel();
  settings.initramfs = hypervisor::cached_initramfs({settings.kernel, paths.tether_program()}, paths.cache());
  settings.credentials = launcher::machine_credentials({});
  settings.qemu_version = qemu.version();
  hypervisor::KvmProbe probe(qemu, clock, std::move(settings));

  asio::io_context loop;
  std::exception_ptr failure;
  hypervisor::KvmAnswer answer;
  asio::co_spawn(loop, again ? probe.ask_again() : probe.ask(),
                 [&](std::exception_ptr thrown, hypervisor::KvmAnswer given) {
                   failure = thrown;
                   answer = std::move(given);
                 });
  loop.run();
  if (failure) std::rethrow_exception(failure);
  return answer;
}

}  // namespace berth::cli
