// bench-tether [ROUNDS]: figures of the tether in an emulated machine, as a table: its size, the memory it
// takes, the time from its beginning until it answers, and what its attach port carries next to a bare
// virtio-serial port.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/io.hpp"
#include "extraconfig/codec.hpp"
#include "guest.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/qemu/qemu.hpp"

namespace {

using namespace berth;
using namespace berth::tether_test;
namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr std::uint64_t kBytes = 64 << 20;
constexpr double kMebibyte = 1 << 20;

struct Measured {
  std::vector<double> answer_milliseconds;
  std::vector<double> resident_kibibytes;
  std::vector<double> attach_rate;  ///< MiB a second, of this and the next
  std::vector<double> bare_rate;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// `read` returns how many bytes it read, at least one. The clock begins with the first ones.
template <typename Read>
Task<double> rate_of(Read read) {
  std::uint64_t bytes = 0;
  co_await read();
  const auto begin = steady_clock::now();
  while (bytes < kBytes) bytes += co_await read();
  const std::chrono::duration<double> took = steady_clock::now() - begin;
  co_return static_cast<double>(bytes) / kMebibyte / took.count();
}

Task<> measure_tether(Measured& measured) {
  const Guest::Options options;
  const auto guest = co_await Guest::boot(options);
  const link::Hello& hello = guest->hello();
  measured.answer_milliseconds.push_back(
      static_cast<double>(hello.uptime_nanoseconds - hello.began_nanoseconds) / 1e6);
  guest->config.sessions["main"] = make_session(shell(kIdle));
  co_await guest->push();
  co_await guest->wait_started("main");
  const link::Order order = order_for_main(link::verb::stats);
  const extraconfig::Pairs answer = co_await guest->order(order);
  link::Stats stats;
  extraconfig::decode(answer, stats);
  measured.resident_kibibytes.push_back(static_cast<double>(stats.tether_resident_bytes) / 1024);

  const std::vector<std::string> zeros{"cat", "/dev/zero"};
  const auto channel = co_await guest->exec_attached("zeros", zeros);
  std::string buffer(64 << 10, '\0');
  const auto read = [&]() -> Task<std::size_t> { return channel->read_some(buffer.data(), buffer.size()); };
  measured.attach_rate.push_back(co_await rate_of(read));
  guest->attach_port().drop_connection();
  co_await guest->power_off();
}

Task<> measure_bare_port(Measured& measured) {
  const auto executor = co_await asio::this_coro::executor;
  const TempDir folder(fs::temp_directory_path(), "berth-bench-");
  hypervisor::InitramfsSpec initramfs;
  initramfs.kernel = hypervisor::find_kernel();
  initramfs.init = BENCH_BARE_PORT;
  hypervisor::MachineSpec spec;
  spec.name = "bare-port";
  spec.kernel = initramfs.kernel.image;
  spec.initramfs = hypervisor::cached_initramfs(initramfs, folder.path());
  hypervisor::QemuHypervisor qemu;
  const auto machine = co_await qemu.start(std::move(spec));
  Stream port(executor, machine->take_port(hypervisor::Port::attach));
  std::string buffer(64 << 10, '\0');
  const auto read = [&]() -> Task<std::size_t> { return port.read_some(buffer.data(), buffer.size()); };
  measured.bare_rate.push_back(co_await rate_of(read));
}

void print(const Measured& measured) {
  const double attach = median(measured.attach_rate);
  const double bare = median(measured.bare_rate);
  const auto row = [](std::string_view what, const std::string& value, std::string_view goal) {
    fmt::print("| {} | {} | {} |\n", what, value, goal);
  };
  row("figure", "measured", "goal");
  row("---", "---", "---");
  row("size of the program", fmt::format("{:.2f} MB", static_cast<double>(fs::file_size(BERTH_TETHER)) / 1e6),
      "5 MB");
  row("resident memory, one idle session",
      fmt::format("{:.2f} MB", median(measured.resident_kibibytes) * 1024 / 1e6), "8 MB");
  row("from its beginning to its hello", fmt::format("{:.0f} ms", median(measured.answer_milliseconds)), "");
  row("output through attach", fmt::format("{:.1f} MiB/s", attach), "");
  row("output through a bare port", fmt::format("{:.1f} MiB/s", bare), "");
  row("attach next to the bare port", fmt::format("{:.0f} %", 100 * attach / bare), "80 %");
}

}  // namespace

int main(int count, char** words) {
  const int rounds = count > 1 ? std::atoi(words[1]) : 5;
  Measured measured;
  for (int round = 0; round < rounds; ++round) {
    run_on_loop([&]() -> Task<> { return measure_tether(measured); });
    run_on_loop([&]() -> Task<> { return measure_bare_port(measured); });
  }
  if (measured.bare_rate.size() != static_cast<std::size_t>(rounds)) return 1;
  print(measured);
}
