#include <utility>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "hypervisor/qcow2.hpp"
#include "hypervisor/templates.hpp"
#include "launcher/launcher.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/pod_disk.hpp"
#include "launcher/template_maker.hpp"

/// A machine that goes on from a template instead of booting.
namespace berth::launcher {
namespace {

/// Whether the template is not to blame: a boot would fail in the same way, or QEMU was killed.
bool is_no_fault_of_the_template(Code code) {
  return code == Code::invalid_argument || code == Code::already_exists || code == Code::capacity ||
         code == Code::not_found || code == Code::busy || code == Code::unavailable;
}

/// Whether they can stand for those that the template's guest has seen, which asks no more how large they
/// are. The scratch disk of another berth's container may be of another size, and its file system would not
/// fit.
bool has_template_disks(const hypervisor::MachineSpec& spec) {
  const hypervisor::Disk& scratch = spec.disks.at(1);
  const std::uint64_t scratch_bytes = scratch.format == hypervisor::DiskFormat::qcow2
                                          ? hypervisor::check_overlay(scratch.fd)
                                          : file_bytes(scratch.fd, "look at a disk");
  return file_bytes(spec.disks.at(0).fd, "look at a disk") <= kTemplateImageBytes &&
         scratch_bytes == kScratchBytes;
}

}  // namespace

hypervisor::MachineSpec shape_of(hypervisor::MachineSpec spec) {
  spec.disks.clear();
  spec.shared_folders.clear();
  spec.frozen.reset();
  return spec;
}

Task<> Launcher::begin_machine(hypervisor::MachineSpec spec) {
  if (!settings_.snapshot.empty()) {
    co_await begin_copy(std::move(spec));
    co_return;
  }
  if (pod_.host.folders.empty()) {
    const std::optional<hypervisor::Template> assembled = std::exchange(assembled_template_, std::nullopt);
    if (assembled) is_clone_ = co_await begin_clone(spec, *assembled);
    const std::optional<hypervisor::Template> of_size = is_clone_ ? std::nullopt : find_template(spec);
    if (of_size) is_clone_ = co_await begin_clone(spec, *of_size);
    if (is_clone_) co_return;
  }
  if (settings_.files_only) {
    spec.most_cpus = 0;
    spec.most_memory_bytes = 0;
  }
  machine_shape_ = shape_of(spec);
  co_await start_with_folders(std::move(spec));
}

std::optional<hypervisor::Template> Launcher::find_template(const hypervisor::MachineSpec& spec) {
  if (settings_.template_id.empty()) return std::nullopt;
  auto found = hypervisor::TemplateStore(settings_.paths.templates()).find(settings_.template_id);
  return found && has_template_disks(spec) ? std::move(found) : std::nullopt;
}

/// One whose machine has the container's root already. The pod's disk, if nobody has used it, becomes a copy
/// of the template's; else nothing.
std::optional<hypervisor::Template> Launcher::take_assembled_template() {
  const bool is_asked_for = !settings_.image_template_id.empty() && pod_.host.folders.empty() &&
                            settings_.snapshot.empty() && !settings_.files_only;
  if (!is_asked_for) return std::nullopt;
  try {
    auto found = hypervisor::TemplateStore(settings_.paths.templates()).find(settings_.image_template_id);
    if (found && found->disk && replace_unused_disk(settings_.paths, pod_, found->disk.get())) return found;
  } catch (const Error& error) {
    log::warning("template {} is not used: {}", settings_.image_template_id, error.what());
  }
  return std::nullopt;
}

/// Whether it could; if not, the template is at fault.
Task<bool> Launcher::begin_clone(hypervisor::MachineSpec spec, const hypervisor::Template& found) {
  hypervisor::MachineSpec clone = clone_spec(spec);
  machine_shape_ = shape_of(clone);
  clone.frozen = {found.memory.get(), found.state.get()};
  std::optional<Error> failure;
  try {
    machine_ = co_await hypervisor_.start(std::move(clone));
  } catch (const Error& error) {
    if (is_no_fault_of_the_template(error.code())) throw;
    failure = error;
  }
  if (failure) {
    log::warning("the machine boots, as it could not be cloned: {}", failure->what());
    if (failure->code() != Code::unsupported) discard_template(found.id, failure->what());
    co_return false;
  }
  clone_of_ = found.id;
  guest_keys_ = template_keys();
  for (std::size_t i = kTemplateDisks; i < spec.disks.size(); ++i) co_await machine_->add_disk(spec.disks[i]);
  co_return true;
}

void Launcher::discard_template(const std::string& id, const std::string& reason) {
  hypervisor::TemplateStore templates(settings_.paths.templates());
  templates.discard(id);
  templates.note_failure(id, reason, clock_);
}

/// For a clone that came to nothing where a boot may not: the next start finds no template.
void Launcher::distrust_template() {
  if (started_ || clone_of_.empty()) return;
  log::warning("template {} is removed, as its clone does not answer", clone_of_);
  discard_template(clone_of_, "its clone did not answer");
}

}  // namespace berth::launcher
