#include "tether/session/freezer.hpp"

#include <sys/inotify.h>

#include <array>
#include <string>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::tether {
namespace {

constexpr std::size_t kEventsLimit = 4096;

Task<> wait_while_running(Stream& changes, const std::filesystem::path& events) {
  std::array<char, 4096> ignored;
  while (read_file(events, kEventsLimit).find("frozen 1") == std::string::npos)
    co_await changes.read_some(ignored.data(), ignored.size());
}

}  // namespace

Task<> wait_frozen(asio::any_io_executor executor, std::filesystem::path cgroup, Milliseconds limit) {
  const std::filesystem::path events = cgroup / "cgroup.events";
  UniqueFd watch(check(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "watch a cgroup"));
  check(::inotify_add_watch(watch.get(), events.c_str(), IN_MODIFY), "watch a cgroup");
  Stream changes(executor, std::move(watch));
  Task<> wait = wait_while_running(changes, events);
  co_await with_deadline(limit, "to freeze the containers", std::move(wait));
}

}  // namespace berth::tether
