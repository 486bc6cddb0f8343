#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/async.hpp"
#include "tether/os/modules.hpp"
#include "tether/os/uevent.hpp"

namespace berth::tether::os {

/// CPUs and memory that the machine is given while it runs.
class Growth {
 public:
  Growth(const asio::any_io_executor& executor, Modules& modules);

  /// Takes what has come: brings a CPU online, makes ready for memory.
  void note(const Uevent& event);
  /// The same for all that is there, when events were lost.
  void look_again();

  /// Waits until that many CPUs are online. Throws timeout.
  Task<> wait_cpus(unsigned count, Milliseconds limit);

  /// Bytes that have come since this was made.
  std::uint64_t added_memory() const;

 private:
  void work_soon();
  Task<> work();
  Task<> take_memory();
  Task<> bring_online(std::string cpu);

  asio::any_io_executor executor_;
  Modules& modules_;
  const std::uint64_t first_memory_;
  std::set<std::string> offline_;  ///< CPUs to be brought online, such as "cpu1"
  bool memory_came_ = false;
  bool working_ = false;
  Event changed_;
};

}  // namespace berth::tether::os
