#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "hypervisor/templates.hpp"
#include "launcher/launcher.hpp"
#include "launcher/paths.hpp"
#include "record/pod.hpp"

namespace berth::engine {

/// When templates are made and used: BERTH_TEMPLATES.
enum class TemplatePolicy {
  automatic,  ///< "auto", and when nothing is said: a start that finds none has one made for the next
  manual,     ///< "manual": by `berth template create` only
  never,      ///< "never": every machine boots
};
/// Throws invalid-argument.
TemplatePolicy template_policy();

/// The template that the pod's machine is a clone of, whether it is there or not; empty for a pod whose
/// machine always boots: one with folders of the host, which is given memory that others share, and one with
/// an NFS volume or a firewall, whose modules only its own initramfs has. `settings` has kernel, initramfs
/// and accelerator.
std::string template_for(const record::Pod& pod, const launcher::Launcher::Settings& settings);

/// What a template may have besides a machine: the root of a container that has not run yet.
struct TemplateImage {
  std::string name;              ///< as the user calls it
  std::filesystem::path rootfs;  ///< see image::rootfs
};

/// The one that goes further than the template of that id: its guest knows what lies where in the file.
std::string image_template_for(const std::string& template_id, const std::filesystem::path& rootfs);

/// Makes the template for machines of that size. Returns its id; empty when somebody else makes it now.
/// `again`: even if there is one.
std::string make_template(const launcher::Paths& paths, const record::Pod& pod,
                          const std::optional<TemplateImage>& image, bool again);

/// A pod with a machine of that size, as make_template() wants it.
record::Pod template_pod(double cpus, std::uint64_t memory_bytes, const std::string& accelerator);

/// Starts a `berth template create` that goes on by itself, unless the making of template `id`, which is the
/// pod's, has failed lately.
void make_template_later(const launcher::Paths& paths, const record::Pod& pod, const std::string& id);

}  // namespace berth::engine
