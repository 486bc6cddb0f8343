#include "engine/machine_parts.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <exception>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "launcher/machine_plan.hpp"

namespace berth::engine {
namespace {

hypervisor::GuestKernel guest_kernel() {
  const char* override_path = ::getenv("BERTH_KERNEL");
  return hypervisor::find_kernel(override_path != nullptr ? override_path : "");
}

template <typename T>
T with_probe(const launcher::Paths& paths, std::function<Task<T>(hypervisor::KvmProbe&)> body) {
  hypervisor::QemuHypervisor qemu;
  const SystemClock clock;
  record::Pod nobody;
  nobody.host.user_slot = 0;
  const launcher::Launcher::Settings parts = machine_parts(paths, nobody);
  hypervisor::KvmProbe::Settings settings;
  settings.state = paths.cache();
  settings.kernel = guest_kernel();
  settings.initramfs = parts.initramfs;
  settings.qemu = qemu.program_fingerprint();
  settings.credentials = launcher::machine_credentials(nobody);
  std::optional<T> result;
  run_to_end([&]() -> Task<> {
    hypervisor::KvmProbe probe(qemu, clock, settings);
    result = co_await body(probe);
  });
  return std::move(*result);
}

}  // namespace

void run_to_end(const std::function<Task<>()>& body) {
  asio::io_context loop(1);
  std::exception_ptr failure;
  asio::co_spawn(loop, body(), [&](std::exception_ptr thrown) { failure = thrown; });
  loop.run();
  if (failure) std::rethrow_exception(failure);
}

launcher::Launcher::Settings machine_parts(const launcher::Paths& paths, const record::Pod& pod) {
  launcher::Launcher::Settings settings;
  hypervisor::InitramfsSpec spec;
  spec.kernel = guest_kernel();
  spec.init = paths.tether_program();
  for (const auto& [name, endpoint] : pod.executor.networks) {
    if (config::wants_firewall(endpoint))
      spec.firewall_modules.assign(hypervisor::kFirewallModules.begin(), hypervisor::kFirewallModules.end());
  }
  if (!pod.host.folders.empty())
    spec.folder_modules.assign(hypervisor::kFolderModules.begin(), hypervisor::kFolderModules.end());
  if (launcher::has_nfs(pod.executor))
    spec.nfs_modules.assign(hypervisor::kNfsModules.begin(), hypervisor::kNfsModules.end());
  settings.kernel = spec.kernel.image;
  settings.initramfs = hypervisor::cached_initramfs(spec, paths.cache());
  return settings;
}

Acceleration choose_accelerator(const launcher::Paths& paths, const record::Pod& pod) {
  const hypervisor::AcceleratorRequest request = hypervisor::parse_accelerator(pod.host.accelerator);
  if (request == hypervisor::AcceleratorRequest::tcg) return {};
  return with_probe<Acceleration>(paths, [request](hypervisor::KvmProbe& probe) -> Task<Acceleration> {
    Acceleration result;
    result.was_known = probe.kept().has_value();
    result.choice = co_await hypervisor::choose_accelerator(request, probe);
    co_return result;
  });
}

hypervisor::KvmAnswer probe_kvm(const launcher::Paths& paths) {
  return with_probe<hypervisor::KvmAnswer>(
      paths,
      [](hypervisor::KvmProbe& probe) -> Task<hypervisor::KvmAnswer> { co_return co_await probe.ask(); });
}

void check_memory(std::uint64_t bytes) {
  const std::string info = read_file("/proc/meminfo");
  constexpr std::string_view kField = "MemAvailable:";
  const std::size_t at = info.find(kField);
  if (at == std::string::npos) return;
  const std::uint64_t available = std::strtoull(info.c_str() + at + kField.size(), nullptr, 10) * 1024;
  if (bytes > available) {
    throw Error(Code::capacity,
                "not enough memory: {} asked for, {} available on this host; give less with --memory",
                format_binary_size(bytes), format_binary_size(available));
  }
}

}  // namespace berth::engine
