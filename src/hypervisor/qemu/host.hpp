#pragma once

#include <sys/types.h>

#include <optional>

namespace berth::hypervisor::qemu {

/// What of the host shows in a machine's command line.
struct HostFacts {
  std::optional<gid_t> kvm_group;  ///< the group that may open /dev/kvm
  unsigned tsc_khz = 0;            ///< rate of the host's time stamp counter; 0 when there is none
};

/// Takes some milliseconds once per process.
HostFacts host_facts();

}  // namespace berth::hypervisor::qemu
