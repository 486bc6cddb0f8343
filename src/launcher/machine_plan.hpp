#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "config/executor.hpp"
#include "extraconfig/pairs.hpp"
#include "hypervisor/hypervisor.hpp"
#include "launcher/guest.hpp"
#include "launcher/interaction.hpp"
#include "record/pod.hpp"

namespace berth::launcher {

/// Users that machines run as when berth is started by root: one each, so that one that breaks out of its
/// machine finds no other's processes or files. The range is one that no distribution hands out.
inline constexpr unsigned kFirstMachineUser = 0x70000000;

/// Serials by which the guest finds its disks.
inline constexpr const char* kImageDisk = "image";
inline constexpr const char* kScratchDisk = "scratch";

/// Size of a container's writable disk as the guest sees it. It takes only what is written to it.
inline constexpr std::uint64_t kScratchBytes = std::uint64_t{10} << 30;

/// Of the source of a mount that is on an NFS server.
inline constexpr const char* kNfsScheme = "nfs";

/// Whether something of the pod is on an NFS server, so that also a machine for copies needs the network.
bool has_nfs(const config::ExecutorConfig& config);

/// What the machine of a pod runs as; nothing for an ordinary user, whose own rights it keeps.
std::optional<Credentials> machine_credentials(const record::Pod& pod);

/// What templates' machines run as, which no pod's does.
std::optional<Credentials> template_credentials();

/// CPUs of a machine in which so much processor time can be used.
unsigned whole_cpus(double cpus);

/// The machine of a pod, but for its disks, kernel and initramfs.
hypervisor::MachineSpec machine_spec(const record::Pod& pod, hypervisor::Accelerator accelerator);

/// The configuration a guest starts with: the record's, with what is made anew for each start.
config::ExecutorConfig guest_config(const record::Pod& pod, const GuestKeys& keys, Nanoseconds now);

/// The configuration of a copy: that of the pod it is a copy of, as another pod. `before` is what the guest
/// has.
config::ExecutorConfig copy_config(const record::Pod& pod, const config::ExecutorConfig& before,
                                   const GuestKeys& keys, Nanoseconds now);

/// The same for a machine that is there for copies of files only: without network, unless an NFS server is
/// reached by it. In its guest no session starts, and what would hide the container's own files (tmpfs) is
/// not mounted.
hypervisor::MachineSpec files_machine_spec(const record::Pod& pod, hypervisor::Accelerator accelerator);
void keep_files_only(config::ExecutorConfig& config);

/// Docker's exit status for a session that ended or could not start, from what the guest reported.
Exit exit_of(const config::SessionConfig& session);

/// Why a session did not start, without the word in front that is for programs.
std::string readable_reason(const std::string& started);

}  // namespace berth::launcher
