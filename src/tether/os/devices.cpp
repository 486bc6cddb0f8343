#include "tether/os/devices.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tether/os/network_plan.hpp"

namespace berth::tether::os {
namespace {

constexpr unsigned kKernelEvents = 1;

UniqueFd open_uevents() {
  UniqueFd socket(
      check(::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT),
            "open uevents"));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelEvents;
  check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
        "listen to uevents");
  return socket;
}

/// One event of the kernel itself; nothing for anybody else's. Whether there was one at all.
bool receive_event(int socket, std::array<char, kUeventLimit>& buffer, std::optional<Uevent>& event,
                   bool& lost) {
  sockaddr_nl sender{};
  socklen_t size = sizeof sender;
  const ssize_t n = ::recvfrom(socket, buffer.data(), buffer.size(), MSG_DONTWAIT,
                               reinterpret_cast<sockaddr*>(&sender), &size);
  event.reset();
  if (n < 0 && errno == ENOBUFS) lost = true;
  if (n < 0) return errno == ENOBUFS || errno == EINTR;
  if (sender.nl_pid == 0) event = parse_uevent({buffer.data(), static_cast<std::size_t>(n)});
  return true;
}

/// The label of an ext2, ext3 or ext4 file system (fs/ext4/ext4.h, struct ext4_super_block).
std::string label_of(const std::string& device) {
  constexpr off_t kSuperBlock = 1024;
  constexpr std::size_t kMagic = 0x38, kLabel = 0x78, kLabelSize = 16;
  const UniqueFd file(::open(device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  std::array<char, 1024> block{};
  const ssize_t n = file ? ::pread(file.get(), block.data(), block.size(), kSuperBlock) : -1;
  if (n != static_cast<ssize_t>(block.size())) return {};
  if (block[kMagic] != '\x53' || block[kMagic + 1] != '\xef') return {};
  const std::string_view label(block.data() + kLabel, kLabelSize);
  return std::string(label.substr(0, label.find('\0')));
}

std::optional<std::string> find_labelled(const std::string& label) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block", failure)) {
    const std::string name = entry.path().filename().string();
    if (label_of("/dev/" + name) == label) return name;
  }
  return std::nullopt;
}

/// The entry of a class folder whose attribute has the value.
std::optional<std::string> find_entry(const std::string& folder, const std::string& attribute,
                                      const std::string& value) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(folder.c_str()), &::closedir);
  if (!entries) return std::nullopt;
  while (const dirent* entry = ::readdir(entries.get())) {
    if (entry->d_name[0] == '.') continue;
    const UniqueFd file(
        ::open(fmt::format("{}/{}/{}", folder, entry->d_name, attribute).c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 256> content;
    const ssize_t n = file ? ::read(file.get(), content.data(), content.size()) : -1;
    if (n < 0) continue;
    const std::string_view text = trim({content.data(), static_cast<std::size_t>(n)});
    if (text.size() == value.size() && ::strncasecmp(text.data(), value.data(), value.size()) == 0)
      return entry->d_name;
  }
  return std::nullopt;
}

/// The network interface of the device at that place of the PCI bus.
std::optional<std::string> find_interface_at(const std::string& pci_address) {
  namespace fs = std::filesystem;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator("/sys/class/net", failure)) {
    // .../0000:00:05.0/virtio2
    const fs::path device = fs::canonical(entry.path() / "device", failure);
    if (failure) continue;
    if (device.filename() == pci_address || device.parent_path().filename() == pci_address)
      return entry.path().filename().string();
  }
  return std::nullopt;
}

}  // namespace

struct Devices::State {
  explicit State(const asio::any_io_executor& executor)
      : uevents(executor, open_uevents()), changed(executor) {}

  Stream uevents;
  Event changed;  ///< something was told, or may have been
  std::function<void(const Uevent&)> on_event;
  std::function<void()> on_lost;
};

Devices::Devices(const asio::any_io_executor& executor) : state_(std::make_shared<State>(executor)) {
  spawn_detached(executor, "uevents", listen(state_));
}

Devices::~Devices() {
  state_->on_event = nullptr;
  state_->on_lost = nullptr;
  state_->uevents.close();
}

void Devices::watch(std::function<void(const Uevent&)> on_event, std::function<void()> on_lost) {
  state_->on_event = std::move(on_event);
  state_->on_lost = std::move(on_lost);
}

/// Whoever waits looks into /sys when something was told, so a lost event does no harm to them.
Task<> Devices::listen(std::shared_ptr<State> state) {
  constexpr int kAtOnce = 64;
  std::array<char, kUeventLimit> buffer;
  std::optional<Uevent> event;
  while (state->uevents.is_open()) {
    co_await state->uevents.wait_readable();
    bool lost = false;
    for (int i = 0; i < kAtOnce && receive_event(state->uevents.fd(), buffer, event, lost); ++i) {
      if (event && state->on_event) state->on_event(*event);
    }
    if (lost && state->on_lost) state->on_lost();
    state->changed.notify_all();
  }
}

Task<std::string> Devices::port(std::string name, Milliseconds limit) {
  const auto search = [name] { return find_entry("/sys/class/virtio-ports", "name", name); };
  co_return "/dev/" + co_await wait_for(search, fmt::format("virtio-serial port \"{}\"", name), limit);
}

std::optional<std::string> Devices::find_disk(const std::string& serial) {
  const auto name = find_entry("/sys/block", "serial", serial);
  return name ? std::optional("/dev/" + *name) : std::nullopt;
}

Task<std::string> Devices::disk(std::string serial, Milliseconds limit) {
  const auto search = [serial] { return find_disk(serial); };
  co_return co_await wait_for(search, fmt::format("disk \"{}\"", serial), limit);
}

Task<std::string> Devices::labelled_disk(std::string label, Milliseconds limit) {
  const auto search = [label] { return find_labelled(label); };
  co_return "/dev/" + co_await wait_for(search, fmt::format("disk labelled \"{}\"", label), limit);
}

std::optional<std::string> Devices::find_interface(std::string_view card) {
  const std::string name(card);
  return is_mac_address(name) ? find_entry("/sys/class/net", "address", name) : find_interface_at(name);
}

Task<std::string> Devices::interface(std::string card, Milliseconds limit) {
  const auto search = [card] { return find_interface(card); };
  co_return co_await wait_for(search, fmt::format("network card {}", card), limit);
}

Task<std::string> Devices::wait_for(Search search, std::string what, Milliseconds limit) {
  const auto state = state_;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (auto found = search()) co_return *found;
    if (left_until(deadline) == Milliseconds(0)) throw Error(Code::not_found, "the machine has no {}", what);
    co_await state->changed.wait_until(deadline);
  }
}

bool is_read_only(const std::string& device) {
  return trim(read_file("/sys/block/" + device.substr(device.rfind('/') + 1) + "/ro", 16)) == "1";
}

Task<> wait_host_end(const asio::any_io_executor& executor, int port) {
  // A port without its host reports a hang-up all the time; edge-triggered, only when something changes.
  UniqueFd changes(check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  epoll_event interest{};
  interest.events = EPOLLIN | EPOLLOUT | EPOLLET;
  check(::epoll_ctl(changes.get(), EPOLL_CTL_ADD, port, &interest), "watch a port");
  const int changes_fd = changes.get();
  Stream change(executor, std::move(changes));
  while (true) {
    epoll_event event{};
    ::epoll_wait(changes_fd, &event, 1, 0);
    pollfd state{port, POLLOUT, 0};
    check(::poll(&state, 1, 0), "look at a port");
    if ((state.revents & POLLHUP) == 0) co_return;
    co_await change.wait_readable();
  }
}

}  // namespace berth::tether::os
