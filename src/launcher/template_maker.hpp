#pragma once

#include <cstdint>

#include "base/async.hpp"
#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "extraconfig/pairs.hpp"
#include "hypervisor/hypervisor.hpp"
#include "hypervisor/templates.hpp"

namespace berth::launcher {

/// What a template is of: all that the machine has in common with its clones. Its disks are the first ones of
/// any pod's machine, with nothing in them.
hypervisor::MachineSpec template_spec(hypervisor::MachineSpec machine);

/// The machine of a pod as a clone of its template; only the first disks are in it, others are for
/// add_disk().
hypervisor::MachineSpec clone_spec(hypervisor::MachineSpec machine);
inline constexpr std::size_t kTemplateDisks = 2;

/// What its guest has been told and has come to: the user network, on a card that each clone renames.
extraconfig::Pairs template_keys();

/// The guest sees disks of these sizes in each clone.
inline constexpr std::uint64_t kTemplateImageBytes = std::uint64_t{1} << 40;

/// The machine without what is behind its devices.
hypervisor::MachineSpec shape_of(hypervisor::MachineSpec machine);

/// What is behind the first disks of a machine in which nobody reads them.
struct EmptyDisks {
  EmptyDisks();
  std::vector<hypervisor::Disk> disks() const;

  UniqueFd scratch;
  UniqueFd image;
};

/// Boots a machine of template_spec(), waits until its tether is up and idle, and freezes it in the draft.
/// There is no secret in it and nothing that tells one clone from another. With a file of an image, open for
/// reading alone, the draft has a disk, and the machine has made a container's root of both.
Task<> fill_template(hypervisor::Hypervisor& hypervisor, hypervisor::MachineSpec spec,
                     const hypervisor::TemplateStore::Draft& draft, int image, Milliseconds boot_limit);

}  // namespace berth::launcher
