#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "tether/os/uevent.hpp"

namespace berth::tether::os {

/// The kernel's devices as they come and go.
class Devices {
 public:
  explicit Devices(const asio::any_io_executor& executor);
  ~Devices();
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  /// Called from the loop for each event of the kernel, and when some were lost.
  void watch(std::function<void(const Uevent&)> on_event, std::function<void()> on_lost);

  /// The character device of a virtio-serial port, e.g. "/dev/vport1p1".
  /// Waits for the device. Throws not-found naming it when it has not come within `limit`.
  Task<std::string> port(std::string name, Milliseconds limit);
  /// The block device whose serial is `serial`, e.g. "/dev/vda".
  Task<std::string> disk(std::string serial, Milliseconds limit);
  /// The same, if it is there.
  static std::optional<std::string> find_disk(const std::string& serial);
  /// The block device with an ext file system of that label.
  Task<std::string> labelled_disk(std::string label, Milliseconds limit);
  /// The name of the network interface of a card: by its MAC address ("52:54:00:12:34:56", any case) or its
  /// PCI address ("0000:00:05.0").
  Task<std::string> interface(std::string card, Milliseconds limit);
  /// The same, if it is there.
  static std::optional<std::string> find_interface(std::string_view card);

 private:
  using Search = std::function<std::optional<std::string>()>;
  Task<std::string> wait_for(Search search, std::string what, Milliseconds limit);

  struct State;
  static Task<> listen(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

/// Whether the block device's content cannot be written. Throws what reading /sys throws.
bool is_read_only(const std::string& device);

/// Waits until the host has its end of a virtio-serial port open; an open one returns at once.
Task<> wait_host_end(const asio::any_io_executor& executor, int port);

}  // namespace berth::tether::os
