#include "tether/os/identity_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace berth::tether::os {
namespace {

constexpr std::size_t kDigits = 32;
constexpr const char* kFolder = "/run/berth/identity";
constexpr const char* kRandomId = "/proc/sys/kernel/random/uuid";
constexpr const char* kMachineIdFile = "/run/berth/identity/machine-id";
constexpr const char* kContainersMachineId = "/etc/machine-id";

/// As they are bound in containers, they stay the same files.
void write_in_place(const char* path, std::string_view content, mode_t mode) {
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
  write_all(file.get(), content);
}

}  // namespace

std::string machine_id_of(std::string_view pod_id) {
  const std::string_view digits = pod_id.substr(0, kDigits);
  const bool is_hex = std::all_of(digits.begin(), digits.end(),
                                  [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (digits.size() < kDigits || !is_hex) return {};
  return std::string(digits) + "\n";
}

bool is_unset_machine_id(std::string_view content) {
  const std::string_view text = trim(content);
  return text.empty() || text == "uninitialized";
}

void IdentityFiles::apply(const std::string& pod_id) {
  if (pod_id == pod_id_ || machine_id_of(pod_id).empty()) return;
  if (!made_) make_directories(kFolder, 0755);
  // Another pod's id comes to a copy, in which the kernel's boot_id is the original's.
  write_in_place(kBootIdFile, read_file(made_ ? kRandomId : kBootId), 0444);
  write_in_place(kMachineIdFile, machine_id_of(pod_id), 0444);
  if (!made_) bind_machine_id();
  made_ = true;
  pod_id_ = pod_id;
}

/// A container is not kept from its start by an image in which there is no place for the file.
void IdentityFiles::bind_machine_id() {
  try {
    if (root_.has_folder("/etc") && is_unset_machine_id(root_.read_file(kContainersMachineId)))
      root_.bind_file(kMachineIdFile, kContainersMachineId);
  } catch (const Error& error) {
    log::warning("machine-id: {}", error.what());
  }
}

}  // namespace berth::tether::os
