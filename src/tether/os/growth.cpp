#include "tether/os/growth.hpp"

#include <fmt/format.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "tether/os/worker.hpp"

namespace berth::tether::os {
namespace {

constexpr std::string_view kCpus = "/devices/system/cpu/";
constexpr const char* kCpuFolder = "/sys/devices/system/cpu";
/// A virtio device of type 24, virtio-mem.
constexpr std::string_view kMemoryDevice = "virtio:d00000018v";
/// The kernel does either in much less; under software emulation some tenths of a second.
constexpr Milliseconds kStepLimit{30'000};

/// "cpu12".
bool is_cpu(std::string_view name) {
  return name.size() > 3 && name.size() < 10 && name.starts_with("cpu") &&
         name.find_first_not_of("0123456789", 3) == std::string_view::npos;
}

std::uint64_t total_memory() {
  struct sysinfo info {};
  check(::sysinfo(&info), "ask how much memory there is");
  return std::uint64_t{info.totalram} * info.mem_unit;
}

unsigned online_cpus() {
  return static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace

Growth::Growth(const asio::any_io_executor& executor, Modules& modules)
    : executor_(executor), modules_(modules), first_memory_(total_memory()), changed_(executor) {}

void Growth::note(const Uevent& event) {
  if (event.action != "add") return;
  const std::string_view name =
      event.path.starts_with(kCpus) ? event.path.substr(kCpus.size()) : std::string_view();
  if (is_cpu(name)) offline_.emplace(name);
  if (event.modalias.starts_with(kMemoryDevice)) memory_came_ = true;
  work_soon();
}

void Growth::look_again() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(kCpuFolder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (is_cpu(name) && trim(find_file(entry.path() / "online").value_or("")) == "0") offline_.insert(name);
  }
  for (const auto& entry : std::filesystem::directory_iterator("/sys/bus/virtio/devices", ignored)) {
    if (find_file(entry.path() / "modalias").value_or("").starts_with(kMemoryDevice)) memory_came_ = true;
  }
  work_soon();
}

void Growth::work_soon() {
  if (working_ || (offline_.empty() && !memory_came_)) return;
  working_ = true;
  spawn_detached(executor_, "growth", work());
}

Task<> Growth::work() {
  while (!offline_.empty() || memory_came_) {
    try {
      if (memory_came_) {
        memory_came_ = false;
        co_await take_memory();
      } else {
        std::string cpu = *offline_.begin();
        offline_.erase(offline_.begin());
        co_await bring_online(std::move(cpu));
      }
    } catch (const Error& error) {
      log::error("{}", error.what());
    }
    changed_.notify_all();
  }
  working_ = false;
}

Task<> Growth::take_memory() {
  // Where the kernel may, it puts it where it can be taken from again.
  const std::function<void()> work = [this] {
    write_kernel_file("/sys/module/memory_hotplug/parameters/online_policy", "auto-movable");
    write_kernel_file("/sys/devices/system/memory/auto_online_blocks", "online");
    modules_.load(kMemoryModules);
  };
  co_await run_in_worker("taking memory", kStepLimit, work);
}

Task<> Growth::bring_online(std::string cpu) {
  const std::string file = fmt::format("{}/{}/online", kCpuFolder, cpu);
  const std::function<void()> work = [file] { write_kernel_file(file, "1"); };
  const std::string what = "bringing " + cpu + " online";
  co_await run_in_worker(what, kStepLimit, work);
}

Task<> Growth::wait_cpus(unsigned count, Milliseconds limit) {
  // One that was there before may have been missed.
  if (online_cpus() < count) look_again();
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (online_cpus() < count) {
    if (!co_await changed_.wait_until(deadline)) {
      if (online_cpus() >= count) break;
      throw Error(Code::timeout, "{} of {} CPUs are online within {} ms", online_cpus(), count,
                  limit.count());
    }
  }
}

std::uint64_t Growth::added_memory() const {
  const std::uint64_t now = total_memory();
  return now - std::min(now, first_memory_);
}

}  // namespace berth::tether::os
