#include "launcher/machine_plan.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/ids.hpp"

namespace berth::launcher {
namespace {

constexpr std::size_t kEntropyBytes = 64;
/// What a machine can grow to while it runs. The guest sets something aside for each CPU that may come.
constexpr unsigned kMostCpus = 8;
constexpr std::uint64_t kMostMemoryFactor = 8;

unsigned host_cpus() {
  return static_cast<unsigned>(std::max(::sysconf(_SC_NPROCESSORS_ONLN), 1L));
}

std::uint64_t host_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::optional<Credentials> machine_user(unsigned user) {
  if (::geteuid() != 0) return std::nullopt;
  Credentials credentials;
  credentials.uid = user;
  credentials.gid = user;
  return credentials;
}

hypervisor::PortForward forward_of(const record::PortBinding& binding) {
  hypervisor::PortForward forward;
  forward.protocol = binding.protocol == record::Protocol::udp ? hypervisor::PortForward::Protocol::udp
                                                               : hypervisor::PortForward::Protocol::tcp;
  if (!binding.host_address.empty()) forward.host_address = binding.host_address;
  forward.host_port = binding.host_port;
  forward.guest_port = binding.guest_port;
  return forward;
}

}  // namespace

std::optional<Credentials> machine_credentials(const record::Pod& pod) {
  return machine_user(kFirstMachineUser + static_cast<unsigned>(std::max(pod.host.user_slot, 0)));
}

std::optional<Credentials> template_credentials() {
  return machine_user(kFirstMachineUser - 1);
}

unsigned whole_cpus(double cpus) {
  return std::max(1u, static_cast<unsigned>(std::ceil(cpus)));
}

hypervisor::MachineSpec machine_spec(const record::Pod& pod, hypervisor::Accelerator accelerator) {
  hypervisor::MachineSpec spec;
  spec.name = "berth-" + short_id(pod.id());
  spec.cpus = whole_cpus(pod.host.cpus);
  spec.memory_bytes = pod.host.memory_bytes;
  spec.most_cpus = std::max(spec.cpus, std::min(kMostCpus, host_cpus()));
  spec.most_memory_bytes =
      std::max(spec.memory_bytes, std::min(kMostMemoryFactor * spec.memory_bytes, host_memory()));
  spec.accelerator = accelerator;
  if (pod.host.network == "user")
    spec.network_cards.push_back({hypervisor::NetworkCard::Backend::user, pod.host.mac, -1});
  for (const record::PortBinding& binding : pod.host.ports) spec.forwards.push_back(forward_of(binding));
  spec.credentials = machine_credentials(pod);
  return spec;
}

config::ExecutorConfig guest_config(const record::Pod& pod, const GuestKeys& keys, Nanoseconds now) {
  config::ExecutorConfig config = pod.executor;
  config.key.data = keys.host.private_key;
  config.authorized_keys = {keys.client.public_key};
  config.user_keys.push_back(keys.login.public_key);
  config.time = now;
  config.entropy.data = random_bytes(kEntropyBytes);
  config.execs.clear();
  config::forget_assigned(config.networks);
  for (auto& [id, session] : config.sessions) {
    session.active = true;
    session.started.clear();
    session.exit_status = 0;
    session.signal = 0;
    session.oom_killed = false;
    session.detail.start_time = 0;
    session.detail.stop_time = 0;
    session.restarting = false;
    session.diagnostics.resurrection_count = 0;
    session.diagnostics.exit_logs.clear();
  }
  return config;
}

config::ExecutorConfig copy_config(const record::Pod& pod, const config::ExecutorConfig& before,
                                   const GuestKeys& keys, Nanoseconds now) {
  config::ExecutorConfig config = guest_config(pod, keys, now);
  config::SessionConfig session = before.sessions.at(before.common.id);
  session.common = pod.session().common;
  config.sessions = {{pod.id(), std::move(session)}};
  config.execs = before.execs;
  for (auto& [id, exec] : config.execs) exec.container = pod.id();
  return config;
}

bool has_nfs(const config::ExecutorConfig& config) {
  return std::any_of(config.mounts.begin(), config.mounts.end(),
                     [](const auto& mount) { return mount.second.source.scheme == kNfsScheme; });
}

hypervisor::MachineSpec files_machine_spec(const record::Pod& pod, hypervisor::Accelerator accelerator) {
  hypervisor::MachineSpec spec = machine_spec(pod, accelerator);
  if (!has_nfs(pod.executor)) spec.network_cards.clear();
  spec.forwards.clear();
  return spec;
}

void keep_files_only(config::ExecutorConfig& config) {
  if (!has_nfs(config)) config.networks.clear();
  std::erase_if(config.mounts, [](const auto& mount) { return mount.second.source.scheme == "tmpfs"; });
  for (auto& [id, session] : config.sessions) session.active = false;
}

Exit exit_of(const config::SessionConfig& session) {
  constexpr std::int32_t kOwnFailure = 125;
  constexpr std::int32_t kNotExecutable = 126;
  constexpr std::int32_t kNotFound = 127;
  Exit exit;
  if (session.started != "true") {
    exit.error = session.started.empty() ? "the container's process never started" : session.started;
    exit.code = kOwnFailure;
    if (session.started.starts_with("not-found:")) exit.code = kNotFound;
    if (session.started.starts_with("not-executable:")) exit.code = kNotExecutable;
    return exit;
  }
  exit.signal = static_cast<std::int32_t>(session.signal);
  exit.code = exit.signal != 0 ? 128 + exit.signal : static_cast<std::int32_t>(session.exit_status);
  exit.oom_killed = session.oom_killed;
  return exit;
}

std::string readable_reason(const std::string& started) {
  for (const char* kind : {"not-found: ", "not-executable: ", "invalid-argument: ", "internal: "}) {
    if (started.starts_with(kind)) return started.substr(std::string_view(kind).size());
  }
  return started;
}

}  // namespace berth::launcher
