#include "tether/session/launch.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/io.hpp"
#include "tether/session/child.hpp"
#include "tether/session/launch_failure.hpp"

namespace berth::tether {
namespace {

/// Children are born in the PID namespace of `container` while this lives.
class ChildrenInContainer {
 public:
  explicit ChildrenInContainer(int container) : own_(open_file("/proc/self/ns/pid", O_RDONLY)) {
    if (::setns(container, CLONE_NEWPID) == 0) return;
    if (errno == ESRCH) throw Error(Code::wrong_state, "the container is not running");
    throw errno_error("enter the container's PID namespace");
  }
  ~ChildrenInContainer() { ::setns(own_.get(), CLONE_NEWPID); }
  ChildrenInContainer(const ChildrenInContainer&) = delete;
  ChildrenInContainer& operator=(const ChildrenInContainer&) = delete;

 private:
  UniqueFd own_;
};

constexpr std::uint64_t kContainerNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

/// fork(2) with a pidfd, born in a cgroup (-1: the caller's) and in new namespaces. The caller has one
/// thread, so the child may go on as any program.
pid_t clone_process(std::uint64_t namespaces, int cgroup, UniqueFd& pidfd) {
  int descriptor = -1;
  clone_args arguments{};
  arguments.flags = namespaces | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&descriptor);
  arguments.exit_signal = SIGCHLD;
  if (cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup);
  }
  const auto pid =
      static_cast<pid_t>(check(::syscall(SYS_clone3, &arguments, sizeof arguments), "start a process"));
  if (pid > 0) pidfd.reset(descriptor);
  return pid;
}

void kill_and_reap(const UniqueFd& pidfd) {
  if (!pidfd) return;
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED);
}

}  // namespace

WaitingProcess::WaitingProcess(const std::string& root, Cgroup cgroup) : cgroup_(std::move(cgroup)) {
  auto [ours, theirs] = make_socket_pair(SOCK_SEQPACKET);
  pid_ = clone_process(kContainerNamespaces, cgroup_.fd(), pidfd_);
  if (pid_ == 0) run_waiting_child(root, theirs.get());
  channel_ = std::move(ours);
}

WaitingProcess::~WaitingProcess() {
  if (!pidfd_) return;
  kill_and_reap(pidfd_);
  cgroup_.remove();
}

Task<> WaitingProcess::ready(asio::any_io_executor executor, Milliseconds limit) {
  Stream channel(executor, duplicate(channel_.get()));
  co_await with_deadline(limit, "preparing a process", channel.wait_readable());
  std::array<char, kChildMessageLimit> packet;
  const ssize_t size = check(::recv(channel_.get(), packet.data(), packet.size(), 0), "hear of the process");
  if (size != 1 || packet[0] != child_message::ready)
    throw Error(Code::internal, "a process cannot be prepared: {}",
                std::string_view(packet.data(), static_cast<std::size_t>(size)));
  mounts_ = open_file(fmt::format("/proc/{}/ns/mnt", pid_), O_RDONLY);
}

bool WaitingProcess::can_become(const ProcessPlan& plan) const {
  pollfd ended{pidfd_.get(), POLLIN, 0};
  return pidfd_ && ::poll(&ended, 1, 0) == 0 && plan.container == ContainerSettings() &&
         encode_plan(plan).size() <= kPlanLimit;
}

Launch::Launch(const asio::any_io_executor& executor, const ProcessPlan& plan, const LaunchPlace& place)
    : Launch(executor, plan, place, make_socket_pair(SOCK_SEQPACKET)) {}

Launch::Launch(const asio::any_io_executor& executor, const ProcessPlan& plan, const LaunchPlace& place,
               ChannelEnds channel)
    : channel_(executor, std::move(channel.first)), wait_for_go_(plan.wait_for_go) {
  const StreamEnds ends = make_streams(plan);
  // The child's ends close here with this function: the end of the stream is the child's word.
  const ChildDescriptors descriptors{channel.second.get(), ends.input.get(), ends.output.get(),
                                     ends.error.get()};
  if (place.container >= 0) {
    const ChildrenInContainer inside(place.container);
    pid_ = clone_process(0, place.cgroup, pidfd_);
    if (pid_ == 0) run_exec_child(plan, place.container, descriptors);
  } else {
    pid_ = clone_process(kContainerNamespaces, place.cgroup, pidfd_);
    if (pid_ == 0) run_container_child(plan, place.root, descriptors);
  }
}

Launch::Launch(const asio::any_io_executor& executor, bool wait_for_go, WaitingProcess& waiting)
    : pid_(waiting.pid_),
      pidfd_(std::move(waiting.pidfd_)),
      channel_(executor, std::move(waiting.channel_)),
      wait_for_go_(wait_for_go) {
  mounts = std::move(waiting.mounts_);
}

Launch::Launch(const asio::any_io_executor& executor, const ProcessPlan& plan,
               std::unique_ptr<WaitingProcess> waiting)
    : Launch(executor, plan.wait_for_go, *waiting) {
  const StreamEnds ends = make_streams(plan);
  send_plan(channel_.fd(), plan, {-1, ends.input.get(), ends.output.get(), ends.error.get()});
}

Launch::~Launch() {
  kill_and_reap(pidfd_);
}

Launch::StreamEnds Launch::make_streams(const ProcessPlan& plan) {
  StreamEnds ends;
  if (plan.terminal) return ends;
  if (plan.standard_input) std::tie(ends.input, standard_input) = make_pipe();
  std::tie(standard_output, ends.output) = make_pipe();
  std::tie(standard_error, ends.error) = make_pipe();
  return ends;
}

Task<> Launch::prepared(Milliseconds limit) {
  co_await wait_for(wait_for_go_ ? Progress::ready : Progress::running, "preparing the process", limit);
}

void Launch::go() {
  check(::send(channel_.fd(), "", 1, MSG_NOSIGNAL), "start the program");
}

Task<> Launch::started(Milliseconds limit) {
  co_await wait_for(Progress::running, "starting the process", limit);
}

Task<> Launch::wait_for(Progress wanted, std::string doing, Milliseconds limit) {
  co_await with_deadline(limit, std::move(doing), advance_to(wanted));
  if (failure_) throw *failure_;
}

UniqueFd Launch::take_pidfd() {
  return std::move(pidfd_);
}

Task<> Launch::advance_to(Progress wanted) {
  while (progress_ < wanted) {
    co_await channel_.wait_readable();
    progress_ = std::max(progress_, receive());
  }
}

Launch::Progress Launch::receive() {
  std::array<char, kChildMessageLimit> packet;
  iovec part{packet.data(), packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = ::recvmsg(channel_.fd(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return progress_;
  check(size, "hear of the process");
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    terminal.reset(descriptor);
  }
  if (size == 0) return Progress::running;
  switch (packet[0]) {
    case child_message::ready:
      return Progress::ready;
    case child_message::failed:
      failure_ = failure_of({packet.data() + 1, static_cast<std::size_t>(size - 1)});
      return Progress::failed;
    default:
      return progress_;
  }
}

LaunchError Launch::failure_of(std::string_view text) {
  const std::size_t colon = text.find(": ");
  if (colon == std::string_view::npos) return {to_string(Code::internal), std::string(text)};
  return {text.substr(0, colon), std::string(text.substr(colon + 2))};
}

}  // namespace berth::tether
