// bench-clone [ROUNDS]: a machine with the tether and what every pod has is booted and frozen; then, in
// turns, QEMU is started with a clone's arguments, and the time until its greeting, until the clone runs and
// until its tether has answered an order is taken. Nothing is configured in the clone. Prints a table.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "base/trace.hpp"
#include "extraconfig/codec.hpp"
#include "hypervisor/initramfs.hpp"
#include "hypervisor/kernel.hpp"
#include "hypervisor/qemu/qemu.hpp"
#include "link/control.hpp"
#include "link/messages.hpp"

namespace {

using namespace berth;
namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr Milliseconds kLimit{120'000};
constexpr std::uint64_t kMemory = std::uint64_t{512} << 20;
constexpr std::uint64_t kDisk = std::uint64_t{64} << 20;

double milliseconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
}

/// In a folder of its own: memory, state, and the two disks that every pod has.
struct Files {
  explicit Files(const fs::path& folder)
      : memory(make(folder / "memory", kMemory)),
        state(make(folder / "state", 0)),
        image((make(folder / "image", kDisk), open_file(folder / "image", O_RDONLY))),
        scratch(make(folder / "scratch", kDisk)) {}

  static UniqueFd make(const fs::path& path, std::uint64_t size) {
    UniqueFd file = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    check(::ftruncate(file.get(), static_cast<off_t>(size)), "size " + path.string());
    return file;
  }

  UniqueFd memory, state, image, scratch;
};

hypervisor::MachineSpec make_spec(const Files& files, const fs::path& folder) {
  hypervisor::InitramfsSpec initramfs;
  initramfs.kernel = hypervisor::find_kernel();
  initramfs.init = BERTH_TETHER;
  hypervisor::MachineSpec spec;
  spec.name = "bench-clone";
  spec.memory_bytes = kMemory;
  spec.kernel = initramfs.kernel.image;
  spec.initramfs = hypervisor::cached_initramfs(initramfs, folder);
  spec.disks = {{files.image.get(), true, "image"}, {files.scratch.get(), false, "scratch"}};
  spec.network_cards = {{hypervisor::NetworkCard::Backend::user, std::string(link::kUnnamedCard), -1}};
  return spec;
}

/// The host's end of a machine's control port.
struct Control {
  Control(const asio::any_io_executor& executor, hypervisor::Machine& machine)
      : channel(executor, machine.take_port(hypervisor::Port::control)), greeted(executor) {
    spawn_detached(executor, "control", serve());
  }
  ~Control() { channel.close(); }

  Task<> serve() {
    const link::ControlChannel::Handler handler =
        [this](link::Document document) -> Task<extraconfig::Pairs> {
      if (document.kind == link::DocumentKind::hello) greeted.notify_all();
      co_return extraconfig::Pairs{};
    };
    co_await channel.serve(handler);
  }

  Task<> ask() {
    link::Order order;
    order.verb = link::verb::clock;
    extraconfig::Difference keys;
    keys.changed = extraconfig::encode(order);
    co_await channel.send(link::DocumentKind::order, std::move(keys), kLimit);
  }

  link::ControlChannel channel;
  Event greeted;
};

Task<> make_template(const Files& files, hypervisor::MachineSpec spec) {
  const auto executor = co_await asio::this_coro::executor;
  spec.memory_file = files.memory.get();
  hypervisor::QemuHypervisor qemu;
  const auto machine = co_await qemu.start(std::move(spec));
  Control control(executor, *machine);
  if (!co_await control.greeted.wait_for(kLimit)) throw Error(Code::timeout, "the tether said nothing");
  co_await control.ask();
  co_await machine->freeze(files.state.get());
  co_await machine->quit(kLimit);
}

struct Measured {
  std::vector<double> running;
  std::vector<double> answer;
};

Task<> measure(const fs::path& folder, hypervisor::MachineSpec spec, Measured& measured) {
  const auto executor = co_await asio::this_coro::executor;
  const UniqueFd memory = open_file(folder / "memory", O_RDONLY);
  const UniqueFd state = open_file(folder / "state", O_RDONLY);
  spec.frozen = hypervisor::FrozenMachine{memory.get(), state.get()};
  hypervisor::QemuHypervisor qemu;
  const auto begin = steady_clock::now();
  const auto machine = co_await qemu.start(std::move(spec));
  measured.running.push_back(milliseconds_since(begin));
  Control control(executor, *machine);
  co_await control.ask();
  measured.answer.push_back(milliseconds_since(begin));
  co_await machine->quit(kLimit);
}

void run_on_loop(const std::function<Task<>()>& body) {
  asio::io_context loop(1);
  std::exception_ptr failure;
  asio::co_spawn(loop, body(), [&](std::exception_ptr thrown) {
    failure = thrown;
    loop.stop();
  });
  loop.run();
  if (failure) std::rethrow_exception(failure);
}

/// From the spawn to the end of the greeting, of every start.
std::vector<double> greetings(const fs::path& trace) {
  std::vector<double> times;
  double begin = 0;
  for (const std::string& line : split(read_file(trace), '\n')) {
    if (line.empty()) continue;
    const auto span = boost::json::parse(line).as_object();
    const auto at = [&](const char* key) { return span.at(key).to_number<double>() / 1000; };
    if (span.at("name") == "QEMU: spawn") begin = at("begin_us");
    if (span.at("name") == "QEMU: greeting") times.push_back(at("end_us") - begin);
  }
  return times;
}

void print(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  fmt::print("| {} | {} | {:.1f} | {:.1f} | {:.1f} |\n", what, times.size(), times[times.size() / 2],
             times[(times.size() * 99 + 99) / 100 - 1], times.front());
}

}  // namespace

int main(int count, char** words) try {
  const int rounds = count > 1 ? std::atoi(words[1]) : 30;
  const TempDir folder(fs::temp_directory_path(), "berth-bench-");
  const Files files(folder.path());
  const hypervisor::MachineSpec spec = make_spec(files, folder.path());
  Measured measured;
  run_on_loop([&]() -> Task<> { return make_template(files, spec); });
  trace::write_to(folder.path() / "trace");
  for (int round = 0; round < rounds; ++round)
    run_on_loop([&]() -> Task<> { return measure(folder.path(), spec, measured); });
  fmt::print(
      "| milliseconds from the start of QEMU | runs | median | p99 | least |\n| --- | --- | --- | --- | --- "
      "|\n");
  print("until its greeting", greetings(folder.path() / "trace"));
  print("until the clone runs", measured.running);
  print("until its tether has answered", measured.answer);
} catch (const std::exception& error) {
  fmt::print(stderr, "bench-clone: {}\n", error.what());
  return 1;
}
