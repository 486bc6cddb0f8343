#include <sys/stat.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "hypervisor/templates.hpp"
#include "launcher/launcher.hpp"
#include "launcher/template_maker.hpp"

/// A machine that goes on from a template instead of booting.
namespace berth::launcher {
namespace {

/// Whether a boot would fail in the same way.
bool is_of_the_pod(Code code) {
  return code == Code::invalid_argument || code == Code::already_exists || code == Code::capacity ||
         code == Code::not_found;
}

/// Whether they can stand for those that the template's guest has seen.
bool has_template_disks(const hypervisor::MachineSpec& spec) {
  struct stat image {};
  check(::fstat(spec.disks.at(0).fd, &image), "look at the image");
  return static_cast<std::uint64_t>(image.st_size) <= kTemplateImageBytes;
}

}  // namespace

Task<> Launcher::begin_machine(hypervisor::MachineSpec spec) {
  if (pod_.host.folders.empty() && !settings_.template_id.empty()) {
    is_clone_ = co_await begin_clone(spec);
    if (is_clone_) co_return;
  }
  if (settings_.files_only) {
    spec.most_cpus = 0;
    spec.most_memory_bytes = 0;
  }
  co_await start_with_folders(std::move(spec));
}

/// Whether it could; if not, the template is at fault, and the machine is to be booted.
Task<bool> Launcher::begin_clone(hypervisor::MachineSpec spec) {
  hypervisor::TemplateStore templates(settings_.paths.templates());
  const std::optional<hypervisor::Template> found = templates.find(settings_.template_id);
  if (!found || !has_template_disks(spec)) co_return false;
  hypervisor::MachineSpec clone = clone_spec(spec);
  clone.frozen = {found->memory.get(), found->state.get()};
  std::optional<Error> failure;
  try {
    machine_ = co_await hypervisor_.start(std::move(clone));
  } catch (const Error& error) {
    if (is_of_the_pod(error.code())) throw;
    failure = error;
  }
  if (failure) {
    log::warning("the machine boots, as it could not be cloned: {}", failure->what());
    if (failure->code() != Code::unsupported) templates.remove(found->id);
    co_return false;
  }
  guest_keys_ = template_keys();
  for (std::size_t i = kTemplateDisks; i < spec.disks.size(); ++i) co_await machine_->add_disk(spec.disks[i]);
  co_return true;
}

}  // namespace berth::launcher
