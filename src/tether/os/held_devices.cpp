#include "tether/os/held_devices.hpp"

#include <filesystem>

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

}  // namespace

void hold_devices() {
  set_automatic(false);
}

void release_devices() {
  static bool released = false;
  if (released) return;
  released = true;
  set_automatic(true);
  for (const fs::directory_entry& device : fs::directory_iterator(fs::path(kBus) / "devices")) {
    if (fs::exists(device.path() / "driver")) continue;
    try {
      write_kernel_file(fs::path(kBus) / "drivers_probe", device.path().filename().string());
    } catch (const Error& error) {
      // One without a driver here, or that fails: whoever needs it says so.
      log::debug("device {}: {}", device.path().filename().string(), error.what());
    }
  }
}

}  // namespace berth::tether::os
