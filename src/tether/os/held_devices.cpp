#include "tether/os/held_devices.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"

namespace berth::tether::os {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBus = "/sys/bus/virtio";

void set_automatic(bool on) {
  write_kernel_file(fs::path(kBus) / "drivers_autoprobe", on ? "1" : "0");
}

/// As they came, "virtio2" before "virtio10": disks and cards are numbered in the order they get drivers.
std::vector<fs::path> devices_in_order() {
  std::vector<fs::path> devices;
  for (const fs::directory_entry& device : fs::directory_iterator(fs::path(kBus) / "devices"))
    devices.push_back(device.path());
  std::sort(devices.begin(), devices.end(), [](const fs::path& a, const fs::path& b) {
    const std::string left = a.filename();
    const std::string right = b.filename();
    return std::pair(left.size(), left) < std::pair(right.size(), right);
  });
  return devices;
}

void probe_devices() {
  for (const fs::path& device : devices_in_order()) {
    if (fs::exists(device / "driver")) continue;
    try {
      write_kernel_file(fs::path(kBus) / "drivers_probe", device.filename().string());
    } catch (const Error& error) {
      // One without a driver here, or that fails: whoever needs it says so.
      log::debug("device {}: {}", device.filename().string(), error.what());
    }
  }
}

}  // namespace

void hold_devices() {
  set_automatic(false);
}

void release_devices() {
  static bool released = false;
  if (released) return;
  released = true;
  // One that is plugged meanwhile must not come between those that were there.
  probe_devices();
  set_automatic(true);
  probe_devices();
}

}  // namespace berth::tether::os
