#include "hypervisor/fake/fake.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include <boost/asio/this_coro.hpp>

#include "base/io.hpp"

namespace berth::hypervisor {
namespace {

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
    : spec_(std::move(spec)), ended_(executor) {
  // The caller may close its descriptors once the machine has started.
  for (Disk& disk : spec_.disks) {
    disks_.push_back(duplicate(disk.fd));
    disk.fd = disks_.back().get();
    statistics.disks.push_back({disk.serial, 0, 0, 0, 0, 0});
  }
  for (std::size_t i = 0; i < kPortCount; ++i) {
    std::tie(host_ports_[i], guest_ports_[i]) = make_socket_pair();
    set_nonblocking(host_ports_[i].get());
    set_nonblocking(guest_ports_[i].get());
    enders_[i] = duplicate(guest_ports_[i].get());
  }
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
  ended_.notify_all();
}

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
    return order(guest_, [](FakeGuest& guest) { guest.paused_ = false; });
  }
  Task<> inject_nmi() override {
    return order(guest_, [](FakeGuest& guest) { ++guest.nmis_; });
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
  guest->reserve_ = [this](const PortForward& forward) { check_free(forward); };
  guests_.push_back(guest);
  std::unique_ptr<Machine> machine = std::make_unique<FakeMachine>(guest);
  if (on_start) on_start(guest);
  co_return std::move(machine);
}

}  // namespace berth::hypervisor
