#include "hypervisor/fake/fake.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <boost/asio/this_coro.hpp>

#include "base/io.hpp"
#include "hypervisor/qcow2.hpp"

namespace berth::hypervisor {
namespace {

constexpr std::string_view kFrozenState = "a fake machine";
constexpr std::size_t kMostMemory = 4096;

std::size_t index_of(Port port) {
  return static_cast<std::size_t>(port);
}

UniqueFd take(UniqueFd& end, Port port) {
  if (!end) throw Error(Code::wrong_state, "the machine's {} port was taken before", to_string(port));
  return std::move(end);
}

bool same_listener(const PortForward& left, const PortForward& right) {
  return left.protocol == right.protocol && left.host_address == right.host_address &&
         left.host_port == right.host_port;
}

}  // namespace

FakeGuest::FakeGuest(const asio::any_io_executor& executor, MachineSpec spec)
    : spec_(std::move(spec)),
      size_{spec_.cpus, spec_.memory_bytes},
      first_disks_(spec_.disks.size()),
      first_cards_(spec_.network_cards.size()),
      resumed_(executor),
      ended_(executor) {
  for (Disk& disk : spec_.disks) keep_disk(disk);
  for (std::size_t i = 0; i < kPortCount; ++i) {
    std::tie(host_ports_[i], guest_ports_[i]) = make_socket_pair();
    set_nonblocking(host_ports_[i].get());
    set_nonblocking(guest_ports_[i].get());
    enders_[i] = duplicate(guest_ports_[i].get());
  }
}

/// The caller may close its descriptor.
void FakeGuest::keep_disk(Disk& disk) {
  disks_.push_back(duplicate(disk.fd));
  disk.fd = disks_.back().get();
  for (DiskLayer& layer : disk.backing) {
    layers_.push_back(duplicate(layer.fd));
    layer.fd = layers_.back().get();
  }
  statistics.disks.push_back({disk.serial, 0, 0, 0, 0, 0});
}

void FakeGuest::plugged() {
  if (on_plug) on_plug();
}

void FakeGuest::add_disk(const Disk& disk) {
  if (disk.serial.empty() || disk.fd < 0) throw Error(Code::invalid_argument, "this is no disk");
  if (this->disk(disk.serial) >= 0)
    throw Error(Code::already_exists, "the machine has a disk {} already", disk.serial);
  if (disks_.size() - first_disks_ >= kPlugPlaces) throw Error(Code::capacity, "there is no place left");
  spec_.disks.push_back(disk);
  keep_disk(spec_.disks.back());
  plugged();
}

void FakeGuest::remove_disk(const std::string& serial, Milliseconds limit) {
  const auto found = std::find_if(spec_.disks.begin(), spec_.disks.end(),
                                  [&](const Disk& disk) { return disk.serial == serial; });
  if (found == spec_.disks.end()) throw Error(Code::not_found, "the machine has no disk {}", serial);
  const auto index = found - spec_.disks.begin();
  if (static_cast<std::size_t>(index) < first_disks_) throw Error(Code::wrong_state, "disk {} stays", serial);
  if (keeps_everything)
    throw Error(Code::timeout, "the guest did not let go of disk {} within {} ms", serial, limit.count());
  spec_.disks.erase(found);
  disks_.erase(disks_.begin() + index);
  statistics.disks.erase(statistics.disks.begin() + index);
  plugged();
}

Disk& FakeGuest::get_disk(const std::string& serial) {
  const auto found = std::find_if(spec_.disks.begin(), spec_.disks.end(),
                                  [&](const Disk& disk) { return disk.serial == serial; });
  if (found == spec_.disks.end()) throw Error(Code::not_found, "the machine has no disk {}", serial);
  return *found;
}

void FakeGuest::snapshot_disk(const std::string& serial, int overlay) {
  check_overlay(overlay);
  Disk& disk = get_disk(serial);
  if (disk.read_only) throw Error(Code::wrong_state, "nothing is written to disk {}", serial);
  if (late_snapshot_) throw Error(Code::busy, "a snapshot of disk {} is under way", serial);
  late_snapshot_ = std::exchange(next_snapshot_is_late, std::nullopt);
  if (late_snapshot_ == false) throw Error(Code::timeout, "no answer");
  if (disk.backing.size() >= kMostLayers) throw Error(Code::capacity, "disk {} has many layers", serial);
  UniqueFd& own = disks_.at(static_cast<std::size_t>(&disk - spec_.disks.data()));
  disk.backing.insert(disk.backing.begin(), {own.get(), disk.format});
  layers_.push_back(std::exchange(own, duplicate(overlay)));
  disk.fd = own.get();
  disk.format = DiskFormat::qcow2;
  snapshots_.insert(serial);
  if (late_snapshot_) throw Error(Code::timeout, "no answer");
}

bool FakeGuest::settle_disk(const std::string& serial) {
  get_disk(serial);
  if (is_silent) throw Error(Code::timeout, "no answer");
  return std::exchange(late_snapshot_, std::nullopt).value_or(false);
}

void FakeGuest::seal_disk(const std::string& serial, int layer) {
  Disk& disk = get_disk(serial);
  if (!snapshots_.contains(serial)) throw Error(Code::wrong_state, "disk {} has no layer to seal", serial);
  layers_.push_back(duplicate(layer));
  disk.backing.front().fd = layers_.back().get();
}

void FakeGuest::add_network_card(const NetworkCard& card) {
  const auto same = [&](const NetworkCard& other) { return other.mac == card.mac; };
  if (std::any_of(spec_.network_cards.begin(), spec_.network_cards.end(), same))
    throw Error(Code::already_exists, "the machine has a network card {} already", card.mac);
  if (card.backend == NetworkCard::Backend::user && has_user_network(spec_))
    throw Error(Code::already_exists, "a machine has one card for user networking");
  spec_.network_cards.push_back(card);
  spec_.network_cards.back().fd = -1;
  plugged();
}

void FakeGuest::remove_network_card(const std::string& mac, Milliseconds limit) {
  const auto found = std::find_if(spec_.network_cards.begin(), spec_.network_cards.end(),
                                  [&](const NetworkCard& card) { return card.mac == mac; });
  if (found == spec_.network_cards.end()) throw Error(Code::not_found, "the machine has no card {}", mac);
  if (static_cast<std::size_t>(found - spec_.network_cards.begin()) < first_cards_)
    throw Error(Code::wrong_state, "card {} stays", mac);
  if (keeps_everything)
    throw Error(Code::timeout, "the guest did not let go of card {} within {} ms", mac, limit.count());
  spec_.network_cards.erase(found);
  plugged();
}

void FakeGuest::resize(Size size, Milliseconds limit) {
  if (size.cpus < 1 || size.cpus > std::max(spec_.cpus, spec_.most_cpus))
    throw Error(Code::invalid_argument, "{} CPUs cannot be", size.cpus);
  if (size.memory_bytes < spec_.memory_bytes ||
      size.memory_bytes > std::max(spec_.memory_bytes, spec_.most_memory_bytes))
    throw Error(Code::invalid_argument, "{} bytes of memory cannot be", size.memory_bytes);
  if (keeps_everything && (size.cpus < size_.cpus || size.memory_bytes < size_.memory_bytes))
    throw Error(Code::timeout, "the guest gave nothing back within {} ms", limit.count());
  size_ = size;
  plugged();
}

UniqueFd FakeGuest::take_port(Port port) {
  return take(guest_ports_[index_of(port)], port);
}

int FakeGuest::disk(std::string_view serial) const {
  for (const Disk& disk : spec_.disks) {
    if (disk.serial == serial) return disk.fd;
  }
  return -1;
}

void FakeGuest::write_console(std::string_view bytes) {
  console_ += bytes;
  if (console_.size() > kConsoleTail) console_.erase(0, console_.size() - kConsoleTail);
}

void FakeGuest::end(MachineEnd::Reason reason, std::string detail) {
  if (end_) return;
  end_ = MachineEnd{reason, {}, std::move(detail)};
  for (const UniqueFd& ender : enders_) ::shutdown(ender.get(), SHUT_RDWR);
  spec_.forwards.clear();
  receives_.reset();
  ended_.notify_all();
  resumed_.notify_all();
}

Task<> FakeGuest::wait_unpaused() {
  while (paused_ && !end_) co_await resumed_.wait();
  if (end_) throw Error(Code::unavailable, "the machine has ended");
}

void FakeGuest::freeze(int state_file) {
  if (spec_.memory_file < 0) throw Error(Code::wrong_state, "the machine's memory is not in a file");
  paused_ = true;
  check(::pwrite(spec_.memory_file, memory.c_str(), memory.size() + 1, 0), "write a fake memory");
  write_all(state_file, kFrozenState);
}

void FakeGuest::thaw() {
  if (spec_.receives >= 0) {
    receives_ = duplicate(spec_.receives);
    set_nonblocking(receives_.get());
    paused_ = true;
  }
  if (!spec_.frozen) return;
  std::string state(kFrozenState.size(), '\0');
  check(::pread(spec_.frozen->state, state.data(), state.size(), 0), "read a fake state");
  if (state != kFrozenState) throw Error(Code::corrupt, "this is no frozen machine");
  std::string text(kMostMemory, '\0');
  check(::pread(spec_.frozen->memory, text.data(), text.size(), 0), "read a fake memory");
  memory = text.c_str();
}

void FakeGuest::begin_copy() {
  if (copying_) throw Error(Code::busy, "the machine is being copied");
  if (!spec_.shared_folders.empty() || spec_.disks.size() != first_disks_ ||
      spec_.network_cards.size() != first_cards_)
    throw Error(Code::unsupported, "the machine cannot be copied with what it was given");
  copying_ = true;
  paused_before_copy_ = paused_;
}

void FakeGuest::end_copy(bool finished) {
  copying_ = false;
  if (finished) return;
  paused_ = paused_before_copy_;
  resumed_.notify_all();
}

class FakeCopy final : public MachineCopy {
 public:
  FakeCopy(std::shared_ptr<FakeGuest> guest, UniqueFd stream)
      : guest_(std::move(guest)), stream_(std::move(stream)) {}
  FakeCopy(const FakeCopy&) = delete;
  FakeCopy& operator=(const FakeCopy&) = delete;
  ~FakeCopy() override {
    if (stream_) guest_->end_copy(false);
  }

  Task<> approach(Milliseconds) override {
    check_running();
    co_return;
  }
  Task<> stop() override {
    check_running();
    guest_->paused_ = true;
    co_return;
  }
  Task<> finish() override {
    check_running();
    const std::string line = guest_->memory + "\n";
    const ssize_t sent = ::send(stream_.get(), line.data(), line.size(), MSG_NOSIGNAL);
    stream_.reset();
    guest_->end_copy(sent == static_cast<ssize_t>(line.size()));
    if (sent != static_cast<ssize_t>(line.size())) throw Error(Code::unavailable, "nobody takes the copy");
    co_return;
  }

 private:
  void check_running() const {
    if (!guest_->running()) throw Error(Code::wrong_state, "the machine has ended");
  }

  std::shared_ptr<FakeGuest> guest_;
  UniqueFd stream_;
};

class FakeMachine final : public Machine {
 public:
  explicit FakeMachine(std::shared_ptr<FakeGuest> guest) : guest_(std::move(guest)) {}
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;
  ~FakeMachine() override { guest_->end(MachineEnd::Reason::quit); }

  pid_t pid() const override { return ::getpid(); }
  UniqueFd take_port(Port port) override { return take(guest_->host_ports_[index_of(port)], port); }
  Task<MachineEnd> wait_end() override { return wait_end(guest_); }
  Task<> quit(Milliseconds) override { return quit(guest_); }
  Task<> power_button() override {
    return order(guest_, [](FakeGuest& guest) {
      ++guest.power_button_presses_;
      if (guest.on_power_button) guest.on_power_button();
    });
  }
  Task<> pause() override {
    return order(guest_, [](FakeGuest& guest) { guest.paused_ = true; });
  }
  Task<> resume() override {
    return order(guest_, [](FakeGuest& guest) {
      guest.paused_ = false;
      guest.resumed_.notify_all();
    });
  }
  Task<> inject_nmi() override {
    return order(guest_, [](FakeGuest& guest) { ++guest.nmis_; });
  }
  Task<> freeze(int state_file) override {
    return order(guest_, [state_file](FakeGuest& guest) { guest.freeze(state_file); });
  }
  Task<> wait_received(Milliseconds limit) override { return receive(guest_, limit); }
  Task<std::unique_ptr<MachineCopy>> begin_copy(int stream) override {
    return begin_copy(guest_, duplicate(stream));
  }
  Task<MachineStatistics> statistics() override { return statistics(guest_); }
  Task<> add_forward(const PortForward& forward) override {
    return order(guest_, [forward](FakeGuest& guest) {
      if (!has_user_network(guest.spec_)) throw Error(Code::wrong_state, "the machine has no user network");
      guest.reserve_(forward);
      guest.spec_.forwards.push_back(forward);
    });
  }
  Task<> remove_forward(const PortForward& forward) override {
    return order(guest_, [forward](FakeGuest& guest) {
      const auto same = [&](const PortForward& other) { return same_listener(forward, other); };
      if (std::erase_if(guest.spec_.forwards, same) == 0) {
        throw Error(Code::not_found, "{}:{} is not forwarded to the machine", forward.host_address,
                    forward.host_port);
      }
    });
  }
  Task<> add_disk(const Disk& disk) override {
    return order(guest_, [disk](FakeGuest& guest) { guest.add_disk(disk); });
  }
  Task<> remove_disk(std::string serial, Milliseconds limit) override {
    return order(guest_, [serial, limit](FakeGuest& guest) { guest.remove_disk(serial, limit); });
  }
  Task<> add_network_card(const NetworkCard& card) override {
    return order(guest_, [card](FakeGuest& guest) { guest.add_network_card(card); });
  }
  Task<> remove_network_card(std::string mac, Milliseconds limit) override {
    return order(guest_, [mac, limit](FakeGuest& guest) { guest.remove_network_card(mac, limit); });
  }
  Task<> snapshot_disk(std::string serial, int overlay) override {
    return order(guest_, [serial, overlay](FakeGuest& guest) { guest.snapshot_disk(serial, overlay); });
  }
  Task<bool> settle_disk(std::string serial) override {
    bool is_there = false;
    std::function<void(FakeGuest&)> ask = [&](FakeGuest& guest) { is_there = guest.settle_disk(serial); };
    co_await order(guest_, std::move(ask));
    co_return is_there;
  }
  Task<> seal_disk(std::string serial, int layer) override {
    return order(guest_, [serial, layer](FakeGuest& guest) { guest.seal_disk(serial, layer); });
  }
  Size size() const override { return guest_->size_; }
  Task<> set_cpus(unsigned count, Milliseconds limit) override {
    return order(guest_, [count, limit](FakeGuest& guest) {
      Size size = guest.size_;
      size.cpus = count;
      guest.resize(size, limit);
    });
  }
  Task<> set_memory(std::uint64_t bytes, Milliseconds limit) override {
    return order(guest_, [bytes, limit](FakeGuest& guest) {
      Size size = guest.size_;
      size.memory_bytes = bytes;
      guest.resize(size, limit);
    });
  }
  std::string console_tail() const override { return guest_->console_; }

 private:
  using Guest = std::shared_ptr<FakeGuest>;

  static void check_running(const FakeGuest& guest) {
    if (guest.end_) throw Error(Code::wrong_state, "the machine has ended");
  }
  static Task<MachineEnd> wait_end(Guest guest) {
    while (!guest->end_) co_await guest->ended_.wait();
    co_return *guest->end_;
  }
  static Task<> quit(Guest guest) {
    guest->end(MachineEnd::Reason::quit);
    co_return;
  }
  static Task<> order(Guest guest, std::function<void(FakeGuest&)> act) {
    check_running(*guest);
    act(*guest);
    co_return;
  }
  static Task<> receive(Guest guest, Milliseconds limit) {
    check_running(*guest);
    Stream stream(co_await asio::this_coro::executor, std::move(guest->receives_));
    Task<> line = read_line(stream, guest->memory);
    co_await with_deadline(limit, "a copy", std::move(line));
  }
  static Task<> read_line(Stream& stream, std::string& line) {
    char byte = 0;
    while (true) {
      co_await stream.read_exactly(&byte, 1);
      if (byte == '\n') co_return;
      line += byte;
    }
  }
  static Task<std::unique_ptr<MachineCopy>> begin_copy(Guest guest, UniqueFd stream) {
    check_running(*guest);
    guest->begin_copy();
    co_return std::make_unique<FakeCopy>(guest, std::move(stream));
  }
  static Task<MachineStatistics> statistics(Guest guest) {
    check_running(*guest);
    co_return guest->statistics;
  }

  Guest guest_;
};

void FakeHypervisor::check_free(const PortForward& forward) const {
  for (const auto& guest : guests_) {
    for (const PortForward& other : guest->forwards()) {
      if (!same_listener(forward, other)) continue;
      throw Error(Code::already_exists, "{}:{} is already in use on this host; publish another port",
                  forward.host_address, forward.host_port);
    }
  }
}

Task<std::unique_ptr<Machine>> FakeHypervisor::start(MachineSpec spec) {
  if (failure_) {
    const Error failure = *std::exchange(failure_, std::nullopt);
    throw failure;
  }
  for (const PortForward& forward : spec.forwards) check_free(forward);
  auto guest = std::make_shared<FakeGuest>(co_await asio::this_coro::executor, std::move(spec));
  guest->thaw();
  guest->reserve_ = [this](const PortForward& forward) { check_free(forward); };
  guests_.push_back(guest);
  std::unique_ptr<Machine> machine = std::make_unique<FakeMachine>(guest);
  if (on_start) on_start(guest);
  co_return std::move(machine);
}

}  // namespace berth::hypervisor
