#include "launcher/start.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::launcher {
namespace {

constexpr std::string_view kBootLimit = "--boot-limit-ms=";
constexpr std::string_view kCopyNumber = "--copy-number=";
constexpr std::string_view kFilesOnly = "--files-only=yes";
constexpr std::string_view kWholeContainer = "--files-only=no";

struct TextOption {
  std::string_view name;
  std::filesystem::path& value;
};

std::string hypervisor_name(hypervisor::Accelerator accelerator) {
  return std::string(hypervisor::to_string(accelerator));
}

}  // namespace

std::vector<std::string> launch_arguments(const Launcher::Settings& settings) {
  return {"--data=" + settings.paths.data.string(),
          "--runtime=" + settings.paths.runtime.string(),
          "--programs=" + settings.paths.programs.string(),
          "--kernel=" + settings.kernel.string(),
          "--initramfs=" + settings.initramfs.string(),
          "--image=" + settings.image.string(),
          "--template=" + settings.template_id,
          "--image-template=" + settings.image_template_id,
          "--snapshot=" + settings.snapshot,
          "--qemu=" + settings.qemu,
          std::string(kCopyNumber) + std::to_string(settings.copy_number),
          "--accelerator=" + hypervisor_name(settings.accelerator),
          std::string(kBootLimit) + std::to_string(settings.boot_limit.count()),
          settings.files_only ? std::string(kFilesOnly) : std::string(kWholeContainer),
          settings.id};
}

LaunchArguments parse_launch_arguments(int argc, char** argv) {
  LaunchArguments arguments;
  Launcher::Settings& settings = arguments.settings;
  std::filesystem::path accelerator;
  std::filesystem::path template_id;
  std::filesystem::path image_template_id;
  std::filesystem::path snapshot;
  std::filesystem::path qemu;
  const TextOption options[] = {{"--data=", settings.paths.data},
                                {"--runtime=", settings.paths.runtime},
                                {"--programs=", settings.paths.programs},
                                {"--kernel=", settings.kernel},
                                {"--initramfs=", settings.initramfs},
                                {"--image=", settings.image},
                                {"--accelerator=", accelerator},
                                {"--template=", template_id},
                                {"--image-template=", image_template_id},
                                {"--snapshot=", snapshot},
                                {"--qemu=", qemu}};
  for (int i = 1; i < argc; ++i) {
    const std::string_view word(argv[i]);
    bool known = false;
    for (const TextOption& option : options) {
      if (!word.starts_with(option.name)) continue;
      option.value = word.substr(option.name.size());
      known = true;
    }
    if (word.starts_with(kBootLimit)) {
      settings.boot_limit =
          Milliseconds(parse_integer(word.substr(kBootLimit.size()), 1, 3'600'000, "the boot limit"));
      known = true;
    }
    if (word.starts_with(kCopyNumber)) {
      settings.copy_number = static_cast<std::uint32_t>(
          parse_integer(word.substr(kCopyNumber.size()), 0, UINT16_MAX, "the number of the copy"));
      known = true;
    }
    if (word == kFilesOnly || word == kWholeContainer) {
      settings.files_only = word == kFilesOnly;
      known = true;
    }
    if (!known && word.starts_with("-")) throw Error(Code::invalid_argument, "unknown option {}", word);
    if (!known) settings.id = word;
  }
  if (settings.id.empty() || settings.paths.data.empty()) {
    throw Error(Code::invalid_argument, "berth-launcher is started by berth, not by hand");
  }
  settings.template_id = template_id;
  settings.image_template_id = image_template_id;
  settings.snapshot = snapshot;
  settings.qemu = qemu;
  settings.accelerator = accelerator == "kvm" ? hypervisor::Accelerator::kvm : hypervisor::Accelerator::tcg;
  return arguments;
}

UniqueFd start_launcher(const Launcher::Settings& settings, FileLock lock) {
  const std::filesystem::path runtime = settings.paths.pod_runtime(settings.id);
  remove_tree(runtime);
  make_directories(runtime, 0700);
  auto [client_end, launcher_end] = make_socket_pair();
  // What the last run said stays, when this is not one.
  const int fresh = settings.files_only ? 0 : O_TRUNC;
  const UniqueFd log =
      open_file(settings.paths.pod(settings.id) / "launcher.log", O_WRONLY | O_CREAT | O_APPEND | fresh);
  ProcessSpec spec;
  spec.program = settings.paths.launcher_program();
  spec.arguments = launch_arguments(settings);
  spec.standard_output = log.get();
  spec.standard_error = log.get();
  spec.directory = "/";
  spec.new_session = true;
  spec.descriptors = {{launcher_end.get(), kClientDescriptor}, {lock.fd(), kLockDescriptor}};
  Process process = Process::spawn(spec);
  process.release();
  return std::move(client_end);
}

}  // namespace berth::launcher
