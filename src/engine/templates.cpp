#include "engine/templates.hpp"

#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "engine/machine_parts.hpp"
#include "engine/scratch.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "launcher/machine_plan.hpp"
#include "launcher/template_maker.hpp"

namespace berth::engine {
namespace {

constexpr Milliseconds kBootLimit{120'000};

hypervisor::MachineSpec template_machine(const record::Pod& pod,
                                         const launcher::Launcher::Settings& settings) {
  hypervisor::MachineSpec spec = launcher::machine_spec(pod, settings.accelerator);
  spec.kernel = settings.kernel;
  spec.initramfs = settings.initramfs;
  return launcher::template_spec(std::move(spec));
}

/// What the guest was told belongs to it as much as the machine does.
std::string template_id(const hypervisor::QemuHypervisor& qemu, const hypervisor::MachineSpec& spec) {
  std::string text =
      fmt::format("{} {} {}", qemu.template_id(spec), launcher::kTemplateImageBytes, launcher::kScratchBytes);
  for (const auto& [key, value] : launcher::template_keys()) text += fmt::format("\n{}={}", key, value);
  return fmt::format("{:016x}", fnv1a(text));
}

}  // namespace

TemplatePolicy template_policy() {
  const char* text = ::getenv("BERTH_TEMPLATES");
  const std::string_view policy = text != nullptr ? text : "";
  if (policy.empty() || policy == "auto") return TemplatePolicy::automatic;
  if (policy == "manual") return TemplatePolicy::manual;
  if (policy == "never") return TemplatePolicy::never;
  throw Error(Code::invalid_argument, "BERTH_TEMPLATES is \"{}\": one of auto, manual, never",
              printable(policy));
}

std::string template_for(const record::Pod& pod, const launcher::Launcher::Settings& settings) {
  const auto& networks = pod.executor.networks;
  const bool has_firewall = std::any_of(networks.begin(), networks.end(), [](const auto& endpoint) {
    return config::wants_firewall(endpoint.second);
  });
  if (!pod.host.folders.empty() || has_firewall || launcher::has_nfs(pod.executor)) return {};
  return template_id(hypervisor::QemuHypervisor(), template_machine(pod, settings));
}

std::string image_template_for(const std::string& template_id, const std::filesystem::path& rootfs) {
  return fmt::format("{:016x}", fnv1a(template_id + " " + fingerprint(rootfs)));
}

namespace {

/// `image`: a file; -1: none.
std::string make_template(const launcher::Paths& paths, const hypervisor::MachineSpec& spec,
                          hypervisor::TemplateInfo info, int image, bool again) {
  check_memory(spec.memory_bytes);
  hypervisor::TemplateStore templates(paths.templates());
  std::optional<hypervisor::TemplateStore::Draft> draft = templates.begin(info.id, spec.memory_bytes);
  if (!draft) return {};
  // Whoever held the lock until now may have made it.
  if (!again && templates.contains(info.id)) return info.id;
  if (image >= 0)
    draft->add_disk([&](const std::filesystem::path& file) { make_scratch_disk(paths.cache(), file); });
  hypervisor::QemuHypervisor qemu;
  run_to_end([&]() { return launcher::fill_template(qemu, spec, *draft, image, kBootLimit); });
  info.cpus = spec.cpus;
  info.accelerator = hypervisor::to_string(spec.accelerator);
  info.kernel = spec.kernel;
  info.initramfs = spec.initramfs;
  templates.keep(std::move(*draft), info, SystemClock());
  return info.id;
}

}  // namespace

std::string make_template(const launcher::Paths& paths, const record::Pod& pod,
                          const std::optional<TemplateImage>& image, bool again) {
  launcher::Launcher::Settings settings = machine_parts(paths, pod);
  settings.accelerator = choose_accelerator(paths, pod).choice.accelerator;
  const hypervisor::MachineSpec spec = template_machine(pod, settings);
  hypervisor::TemplateStore templates(paths.templates());
  hypervisor::TemplateInfo info;
  info.id = template_id(hypervisor::QemuHypervisor(), spec);
  UniqueFd image_file;
  if (image) {
    info.id = image_template_for(info.id, image->rootfs);
    info.image = image->name;
    image_file = open_file(image->rootfs, O_RDONLY);
  }
  if (!again && templates.contains(info.id)) return info.id;
  try {
    return make_template(paths, spec, info, image_file.get(), again);
  } catch (const Error& error) {
    templates.note_failure(info.id, error.what(), SystemClock());
    throw;
  }
}

record::Pod template_pod(double cpus, std::uint64_t memory_bytes, const std::string& accelerator) {
  record::Pod pod;
  pod.executor.common.id = std::string(64, '0');
  pod.host.cpus = cpus;
  pod.host.memory_bytes = memory_bytes;
  pod.host.accelerator = accelerator;
  return pod;
}

void make_template_later(const launcher::Paths& paths, const record::Pod& pod, const std::string& id) {
  if (const auto failure = hypervisor::TemplateStore(paths.templates()).backs_off(id, SystemClock())) {
    log::debug("template {} is not made now, as that has failed {} times: {}", id, failure->count,
               failure->reason);
    return;
  }
  ProcessSpec spec;
  spec.program = "/proc/self/exe";
  spec.arguments = {"--root=" + paths.data.string(),
                    "--runtime=" + paths.runtime.string(),
                    "template",
                    "create",
                    "--background",
                    fmt::format("--cpus={}", pod.host.cpus),
                    fmt::format("--memory={}", pod.host.memory_bytes),
                    "--accel=" + pod.host.accelerator};
  spec.standard_error = -1;
  spec.directory = "/";
  spec.new_session = true;
  try {
    Process::spawn(spec).release();
  } catch (const Error& error) {
    log::debug("no template is made: {}", error.what());
  }
}

}  // namespace berth::engine
