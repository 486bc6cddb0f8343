#include "hypervisor/qemu/qemu.hpp"

#include <utility>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/process.hpp"
#include "base/text.hpp"
#include "hypervisor/qemu/arguments.hpp"
#include "hypervisor/qemu/machine.hpp"

namespace berth::hypervisor {
namespace {

constexpr const char* kProgram = "qemu-system-x86_64";
constexpr std::chrono::milliseconds kVersionLimit{10'000};

}  // namespace

QemuHypervisor::QemuHypervisor(std::filesystem::path program) {
  const auto found = find_program(program.empty() ? kProgram : program.string());
  if (!found) {
    throw Error(Code::not_found, "{} is not installed; install the package qemu-system-x86",
                program.empty() ? kProgram : program.string());
  }
  program_ = *found;
}

Task<std::unique_ptr<Machine>> QemuHypervisor::start(MachineSpec spec) {
  return qemu::QemuMachine::start(std::move(spec), program_);
}

std::string QemuHypervisor::template_id(const MachineSpec& spec) const {
  std::string text = read_file("/proc/sys/kernel/random/boot_id") + fingerprint(program_) +
                     fingerprint(spec.kernel) + fingerprint(spec.initramfs);
  for (const std::string& word : qemu::machine_words(spec)) text += word + "\n";
  return fmt::format("{:016x}", fnv1a(text));
}

std::string QemuHypervisor::program_fingerprint() const {
  return std::string(trim(fingerprint(program_)));
}

std::string QemuHypervisor::version() const {
  ProcessSpec spec;
  spec.program = program_;
  spec.arguments = {"-version"};
  const std::string output = run_checked(spec, kVersionLimit).output;
  // "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"
  constexpr std::string_view kBefore = " version ";
  const std::size_t begin = output.find(kBefore);
  if (begin == std::string::npos) {
    throw Error(Code::unsupported, "{} is not QEMU: it says \"{}\"", program_.string(),
                printable(output, 100));
  }
  const std::string_view rest = std::string_view(output).substr(begin + kBefore.size());
  return std::string(rest.substr(0, rest.find_first_of(" \n")));
}

}  // namespace berth::hypervisor
