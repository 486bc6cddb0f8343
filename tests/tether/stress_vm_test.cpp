// Everything at once, for BERTH_STRESS_SECONDS (10): execs, readers that are slow and readers that vanish,
// disks and network cards that come and go, processes that take all memory. Afterwards the tether answers as
// before and nothing has grown.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"
#include "extraconfig/codec.hpp"
#include "volume.hpp"
#include "wired.hpp"

namespace berth::tether_test {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr Milliseconds kPlugLimit{60'000};
/// Of an answer on a host that is busy with other things; the figure for one that is not is printed.
constexpr std::chrono::seconds kAnswerLimit{5};
constexpr std::int64_t kGrowthLimit = 4 << 20;
constexpr std::int32_t kContainerMemory = 64 << 20;
constexpr const char* kPlace = "/mnt/volume";

std::chrono::seconds duration() {
  const char* given = std::getenv("BERTH_STRESS_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::max(1, std::atoi(given)) : 10);
}

std::ptrdiff_t descriptors_of(const std::string& process) {
  const std::filesystem::directory_iterator open("/proc/" + process + "/fd");
  return std::distance(begin(open), end(open));
}

/// What must be afterwards as it was before.
struct Footprint {
  link::Stats stats;
  std::string mounts;  ///< of the container
  std::ptrdiff_t own_descriptors = 0;
  std::ptrdiff_t machine_descriptors = 0;
};

/// A machine and what is done to it; each kind of work runs over and over beside the others.
class Stress {
 public:
  explicit Stress(asio::any_io_executor executor) : executor_(executor), changed_(std::move(executor)) {}

  Task<> boot();
  /// Throws what the first work throws that fails.
  Task<> work(std::chrono::seconds seconds);
  Task<Footprint> footprint();
  Task<std::chrono::microseconds> answer_time();
  Task<> power_off() { co_await guest_->power_off(); }
  const std::map<std::string, int>& done() const { return done_; }

 private:
  using Once = Task<> (Stress::*)();

  Task<> repeat(std::string kind, Once once);
  Task<config::SessionConfig> exec(std::string script);
  std::string next_id() { return "exec-" + std::to_string(++ids_); }
  Task<> forget(std::string id);
  Task<link::Stats> stats();

  Task<> run_exec();
  Task<> read_slowly();
  Task<> vanish();
  Task<> cycle_disk();
  Task<> cycle_card();
  Task<> take_all_memory();

  asio::any_io_executor executor_;
  std::unique_ptr<Guest> guest_;
  Volume volume_;
  int ids_ = 0;
  int files_ = 0;
  int cards_ = 0;
  std::map<std::string, int> done_;
  bool stopping_ = false;
  std::size_t running_ = 0;
  std::exception_ptr failure_;
  Event changed_;
};

Task<> Stress::boot() {
  const Guest::Options options;
  guest_ = co_await Guest::boot(options);
  guest_->config.hostname = "pod";
  guest_->config.sessions["main"] = make_session(shell(kIdle));
  guest_->config.sessions["main"].resources.memory = kContainerMemory;
  co_await guest_->push();
  co_await guest_->wait_started("main");
}

Task<> Stress::work(std::chrono::seconds seconds) {
  stopping_ = false;
  const std::vector<std::pair<std::string, Once>> kinds{
      {"execs", &Stress::run_exec},           {"slow readers", &Stress::read_slowly},
      {"vanished readers", &Stress::vanish},  {"disks", &Stress::cycle_disk},
      {"network cards", &Stress::cycle_card}, {"OOM kills", &Stress::take_all_memory}};
  for (const auto& [kind, once] : kinds) {
    ++running_;
    spawn_detached(executor_, kind, repeat(kind, once));
  }
  const auto end = SteadyClock::now() + seconds;
  while (!stopping_) {
    if (!co_await changed_.wait_until(end)) break;
  }
  stopping_ = true;
  while (running_ != 0) co_await changed_.wait();
  if (failure_) std::rethrow_exception(failure_);
}

Task<> Stress::repeat(std::string kind, Once once) {
  try {
    while (!stopping_) {
      co_await (this->*once)();
      ++done_[kind];
    }
  } catch (Error& error) {
    if (!failure_) failure_ = std::make_exception_ptr(Error(error.code(), "{}: {}", kind, error.what()));
    stopping_ = true;
  }
  --running_;
  changed_.notify_all();
}

/// Of an exec that nobody is attached to, with its output checked by the caller.
Task<config::SessionConfig> Stress::exec(std::string script) {
  const std::string id = next_id();
  config::SessionConfig ended = co_await guest_->exec(id, shell(script));
  co_await guest_->wait_output(id, "end", [](const SessionOutput& output) { return output.ended; });
  co_await forget(id);
  ended.common.id = id;
  co_return ended;
}

Task<> Stress::forget(std::string id) {
  guest_->config.execs.erase(id);
  co_await guest_->push();
}

Task<link::Stats> Stress::stats() {
  link::Stats stats;
  extraconfig::decode(co_await guest_->order(order_for_main(link::verb::stats)), stats);
  co_return stats;
}

Task<> Stress::run_exec() {
  const config::SessionConfig ended = co_await exec("echo $((6 * 7)); exit 3");
  EXPECT_EQ(ended.exit_status, 3);
  EXPECT_EQ(guest_->output(ended.common.id).standard_output, "42\n");
}

Task<> Stress::read_slowly() {
  constexpr std::size_t kBytes = 500'000;
  const std::string id = next_id();
  const auto channel = co_await guest_->exec_attached(id, shell("yes | head -c " + std::to_string(kBytes)));
  std::string buffer(64 << 10, '\0');
  std::size_t read = 0;
  while (true) {
    // As slow as everything else is.
    co_await stats();
    std::size_t n = 0;
    const auto read_some = [&]() -> Task<> { n = co_await channel->read_some(buffer.data(), buffer.size()); };
    co_await with_deadline(kLimit, "the next bytes", read_some());
    if (n == 0) break;
    read += n;
  }
  EXPECT_EQ(read, kBytes);
  co_await guest_->wait_ended(id);
  EXPECT_EQ(guest_->session(id).exit_status, 0);
  co_await forget(id);
}

Task<> Stress::vanish() {
  const std::string id = next_id();
  {
    const auto channel = co_await guest_->exec_attached(id, shell("yes"));
    std::string buffer(1000, '\0');
    const auto read = [&]() -> Task<> { co_await channel->read_some(buffer.data(), buffer.size()); };
    co_await with_deadline(kLimit, "the first bytes", read());
  }
  link::Order order = order_for_main(link::verb::signal);
  order.session = id;
  order.signal = SIGKILL;
  order.whole_session = true;
  co_await guest_->order(order);
  co_await guest_->wait_ended(id);
  co_await forget(id);
}

Task<> Stress::cycle_disk() {
  const std::string number = std::to_string(++files_);
  co_await volume_.add_to(*guest_, "stress");
  guest_->config.mounts["v"] = disk_mount("serial", "stress", kPlace);
  co_await guest_->push();
  const std::string file = kPlace + std::string("/count");
  const config::SessionConfig ended =
      co_await exec("cat " + file + " 2>&1 | tail -n 1; echo " + number + " > " + file);
  EXPECT_EQ(ended.exit_status, 0);
  const std::string before = guest_->output(ended.common.id).standard_output;
  if (files_ > 1) {
    EXPECT_EQ(before, std::to_string(files_ - 1) + "\n");
  }
  guest_->config.mounts.erase("v");
  co_await guest_->push();
  co_await guest_->machine().remove_disk("stress", kPlugLimit);
}

Task<> Stress::cycle_card() {
  Peer peer(executor_, kFirstCard);
  co_await guest_->machine().add_network_card(peer.card());
  peer.start();
  guest_->config.networks["n"] = static_endpoint("stress", kFirstCard, "10.1.0.2/24");
  co_await guest_->push();
  co_await with_deadline(kLimit, "the address", peer.wait_address(ipv4("10.1.0.2")));
  // What is still to be reported of a network that has gone from the configuration would bring it back.
  co_await guest_->wait_change("the address is reported",
                               [this] { return !guest_->config.networks["n"].assigned.empty(); });
  // Either may go first.
  const bool card_first = ++cards_ % 2 == 0;
  if (card_first) co_await guest_->machine().remove_network_card(kFirstCard, kPlugLimit);
  guest_->config.networks.clear();
  co_await guest_->push();
  if (!card_first) co_await guest_->machine().remove_network_card(kFirstCard, kPlugLimit);
}

Task<> Stress::take_all_memory() {
  const config::SessionConfig ended = co_await exec("exec tail /dev/zero");
  EXPECT_EQ(ended.signal, SIGKILL);
  EXPECT_TRUE(ended.oom_killed);
}

Task<Footprint> Stress::footprint() {
  Footprint found;
  const config::SessionConfig looked = co_await exec("sort /proc/mounts");
  found.mounts = guest_->output(looked.common.id).standard_output;
  const auto deadline = SteadyClock::now() + kLimit;
  while (true) {
    found.stats = co_await stats();
    if (found.stats.processes <= 2) break;
    if (SteadyClock::now() > deadline)
      throw Error(Code::timeout, "{} processes are left", found.stats.processes);
  }
  found.own_descriptors = descriptors_of("self");
  found.machine_descriptors = descriptors_of(std::to_string(guest_->machine().pid()));
  co_return found;
}

/// The median of some.
Task<std::chrono::microseconds> Stress::answer_time() {
  std::vector<SteadyClock::duration> times(21);
  for (SteadyClock::duration& time : times) {
    const auto begin = SteadyClock::now();
    co_await stats();
    time = SteadyClock::now() - begin;
  }
  std::sort(times.begin(), times.end());
  co_return std::chrono::duration_cast<std::chrono::microseconds>(times[times.size() / 2]);
}

TEST(TetherStress, EverythingAtOnceLeavesNothingBehind) {
  const std::chrono::seconds seconds = duration();
  const auto body = [seconds]() -> Task<> {
    Stress stress(co_await asio::this_coro::executor);
    co_await stress.boot();
    co_await stress.work(std::min(std::chrono::seconds(20), seconds / 4));  // to fill what is kept
    const Footprint before = co_await stress.footprint();
    co_await stress.work(seconds);
    const Footprint after = co_await stress.footprint();
    const auto took = co_await stress.answer_time();
    const std::int64_t grown = static_cast<std::int64_t>(after.stats.tether_resident_bytes) -
                               static_cast<std::int64_t>(before.stats.tether_resident_bytes);
    for (const auto& [kind, count] : stress.done()) std::cout << kind << " " << count << ", ";
    std::cout << "answers in " << took.count() << " us; the tether has "
              << (after.stats.tether_resident_bytes >> 10) << " KiB (" << (grown >> 10) << " KiB more)\n";
    EXPECT_EQ(stress.done().size(), 6u);
    EXPECT_LT(took, kAnswerLimit);
    EXPECT_LT(grown, kGrowthLimit);
    EXPECT_LE(after.stats.tether_descriptors, before.stats.tether_descriptors);
    EXPECT_EQ(after.stats.processes, before.stats.processes);
    EXPECT_EQ(after.mounts, before.mounts);
    EXPECT_LE(after.own_descriptors, before.own_descriptors);
    EXPECT_LE(after.machine_descriptors, before.machine_descriptors);
    co_await stress.power_off();
  };
  run_on_loop(body, kTestLimit + seconds);
}

}  // namespace
}  // namespace berth::tether_test
