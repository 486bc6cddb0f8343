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

/// What they say is looked up in /sys; a lost one does no harm.
void discard_events(int socket) {
  std::array<char, 8192> buffer;
  while (::recv(socket, buffer.data(), buffer.size(), 0) > 0 || errno == ENOBUFS) {
  }
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

Devices::Devices(const asio::any_io_executor& executor) : uevents_(executor, open_uevents()) {}

Task<std::string> Devices::port(std::string name, Milliseconds limit) {
  const auto search = [name] { return find_entry("/sys/class/virtio-ports", "name", name); };
  co_return "/dev/" + co_await wait_for(search, fmt::format("virtio-serial port \"{}\"", name), limit);
}

Task<std::string> Devices::disk(std::string serial, Milliseconds limit) {
  const auto search = [serial] { return find_entry("/sys/block", "serial", serial); };
  co_return "/dev/" + co_await wait_for(search, fmt::format("disk \"{}\"", serial), limit);
}

Task<std::string> Devices::interface(std::string card, Milliseconds limit) {
  const auto search = [card] {
    return is_mac_address(card) ? find_entry("/sys/class/net", "address", card) : find_interface_at(card);
  };
  co_return co_await wait_for(search, fmt::format("network card {}", card), limit);
}

Task<std::string> Devices::wait_for(Search search, std::string what, Milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    discard_events(uevents_.fd());
    if (auto found = search()) co_return *found;
    const Milliseconds left = left_until(deadline);
    if (left == Milliseconds(0)) throw Error(Code::not_found, "the machine has no {}", what);
    try {
      co_await with_deadline(left, what, uevents_.wait_readable());
    } catch (const Error& error) {
      if (error.code() != Code::timeout) throw;
    }
  }
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
