#pragma once

#include <cstdint>
#include <functional>

#include "base/async.hpp"
#include "hypervisor/probe.hpp"
#include "launcher/launcher.hpp"
#include "launcher/paths.hpp"

namespace berth::engine {

using hypervisor::AcceleratorChoice;

/// Kernel and initramfs, made when there is none: the parts that all machines of this installation share, but
/// that only those with a firewall or folders of the host have the modules for it.
launcher::Launcher::Settings machine_parts(const launcher::Paths& paths, const record::Pod& pod);

struct Acceleration {
  AcceleratorChoice choice;
  bool was_known = true;  ///< false when a machine was booted to find out
};

/// KVM or software emulation for this pod; the first call of a host's boot may boot a machine to know.
Acceleration choose_accelerator(const launcher::Paths& paths, const record::Pod& pod);

/// Runs a coroutine to its end on a loop of its own.
void run_to_end(const std::function<Task<>()>& body);

/// The answer of the KVM probe, from what is kept when there is one.
hypervisor::KvmAnswer probe_kvm(const launcher::Paths& paths);

/// Throws capacity when the host has not that much memory available.
void check_memory(std::uint64_t bytes);

}  // namespace berth::engine
