#include "tether/session/session.hpp"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"
#include "tether/session/launch_failure.hpp"
#include "tether/session/terminal.hpp"

namespace berth::tether {
namespace {

constexpr Milliseconds kLaunchLimit{60'000};
constexpr Milliseconds kAttachLimit{30'000};
/// How long output is waited for that others hold open after the process has ended.
constexpr Milliseconds kDrainGrace{1000};
constexpr std::size_t kInputChunk = 32u << 10;
constexpr char kEndOfTransmission = 0x04;
/// As a shell has them (POSIX, Shell Command Language, 2.8.2).
constexpr std::int32_t kNotExecutableExit = 126;
constexpr std::int32_t kNotFoundExit = 127;

void send_signal(int pidfd, int number) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) == 0 || errno == ESRCH) return;
  throw errno_error("signal the process");
}

ExitStatus to_exit_status(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return {info.si_status, 0, false};
  return {0, info.si_status, info.si_code == CLD_DUMPED};
}

/// As RFC 4254 wants it: without SIG.
std::string ssh_signal_name(int number) {
  const std::string name = signal_name(number);
  return name.starts_with("SIG") ? name.substr(3) : name;
}

}  // namespace

Session::Session(Surroundings surroundings, SessionSpec spec, std::uint16_t number)
    : surroundings_(std::move(surroundings)),
      spec_(std::move(spec)),
      number_(number),
      changed_(surroundings_.executor) {}

Session::~Session() = default;

Task<> Session::run() {
  const auto self = shared_from_this();
  try {
    co_await launch();
  } catch (const std::exception& failure) {
    fail(describe_launch_failure(failure));
    co_return;
  }
  co_await wait_process();
  co_await drain();
  status_.ended = true;
  changed();
  // Whoever waits for the end is told first.
  co_await asio::post(surroundings_.executor, asio::use_awaitable);
  reap();
  release_mounts();
  spec_.cgroup.remove();
}

void Session::reap() {
  if (!ended_process_) return;
  siginfo_t info{};
  ::waitid(P_PIDFD, static_cast<id_t>(ended_process_.get()), &info, WEXITED);
  ended_process_.reset();
}

void Session::release_mounts() {
  mounts_.reset();
}

Task<> Session::launch() {
  spec_.cgroup.set_limits(spec_.limits);
  oom_kills_before_ = spec_.memory_cgroup.oom_kills();
  Launch launch = begin_launch();
  co_await launch.prepared(kLaunchLimit);
  if (cancelled_) throw Error(Code::wrong_state, "cancelled before the start");
  if (spec_.plan.wait_for_go) {
    co_await wait_for_attach();
    launch.go();
    co_await launch.started(kLaunchLimit);
  }
  if (!output_channel_) {
    OutputFrame frame;
    std::memcpy(frame.payload(), spec_.id.data(), spec_.id.size());
    co_await surroundings_.output.write(link::OutputKind::open, number_, frame, spec_.id.size());
  }
  adopt(launch);
}

Launch Session::begin_launch() {
  if (spec_.waiting) return Launch(surroundings_.executor, spec_.plan, std::move(spec_.waiting));
  return Launch(surroundings_.executor, spec_.plan, {spec_.cgroup.fd(), spec_.root, spec_.container.get()});
}

Task<> Session::wait_for_attach() {
  waiting_for_attach_ = true;
  changed_.notify_all();
  const auto deadline = std::chrono::steady_clock::now() + kAttachLimit;
  while (!attached_ && !cancelled_) {
    if (!co_await changed_.wait_until(deadline))
      throw Error(Code::timeout, "nobody attached within {} ms", kAttachLimit.count());
  }
  waiting_for_attach_ = false;
  if (cancelled_) throw Error(Code::wrong_state, "cancelled before the start");
}

void Session::adopt(Launch& launch) {
  const auto& executor = surroundings_.executor;
  const auto stream = [&](UniqueFd& fd) {
    return fd ? std::make_shared<Stream>(executor, std::move(fd)) : nullptr;
  };
  pidfd_ = launch.take_pidfd();
  mounts_ = std::move(launch.mounts);
  if (launch.terminal) {
    set_window_size(launch.terminal.get(),
                    spec_.plan.window);  // it may have changed while nobody was attached
    UniqueFd writing_end = duplicate(launch.terminal.get());
    input_ = stream(writing_end);
    standard_output_ = stream(launch.terminal);
  } else {
    input_ = stream(launch.standard_input);
    standard_output_ = stream(launch.standard_output);
    standard_error_ = stream(launch.standard_error);
  }
  status_.started = "true";
  status_.start_time = surroundings_.clock.now();
  const auto start_pump = [&](const std::shared_ptr<Stream>& from, link::OutputKind kind) {
    if (!from) return;
    ++pumps_;
    spawn_detached(executor, "output of " + spec_.id, pump(from, kind));
  };
  start_pump(standard_output_, link::OutputKind::standard_output);
  start_pump(standard_error_, link::OutputKind::standard_error);
  changed();
}

/// Until it has ended. What the kernel still keeps of it can wait until the end has been told, but not of an
/// exec: its container does not end before.
Task<> Session::wait_process() {
  Stream ended(surroundings_.executor, duplicate(pidfd_.get()));
  siginfo_t info{};
  while (true) {
    check(::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG | WNOWAIT),
          "wait for the process");
    if (info.si_pid != 0) break;
    co_await ended.wait_readable();
  }
  ended_process_ = std::move(pidfd_);
  if (spec_.container) reap();
  status_.exit = to_exit_status(info);
  status_.stop_time = surroundings_.clock.now();
  const bool killed_here = spec_.memory_cgroup.oom_kills() > oom_kills_before_;
  status_.oom_killed = killed_here && (!spec_.container || status_.exit.signal == SIGKILL);
  if (input_) input_->close();
}

Task<> Session::drain() {
  const auto deadline = std::chrono::steady_clock::now() + kDrainGrace;
  while (pumps_ > 0 && !drain_over_) drain_over_ = !co_await changed_.wait_until(deadline);
  drain_over_ = true;
  for (const auto& stream : {standard_output_, standard_error_}) {
    if (stream) stream->cancel();
  }
  // What a slow reader has not taken yet is not lost: only the reader ends this.
  while (pumps_ > 0) co_await changed_.wait();
  standard_output_.reset();
  standard_error_.reset();
  if (!output_channel_) {
    OutputFrame frame;
    co_await surroundings_.output.write(link::OutputKind::end, number_, frame, 0);
  }
}

void Session::fail(std::string reason) {
  status_.started = std::move(reason);
  status_.ended = true;
  waiting_for_attach_ = false;
  spec_.waiting.reset();
  spec_.cgroup.remove();
  changed();
}

void Session::changed() {
  changed_.notify_all();
  surroundings_.on_change(*this);
}

Task<> Session::pump(std::shared_ptr<Stream> stream, link::OutputKind kind) {
  const auto self = shared_from_this();
  OutputFrame frame;
  std::optional<std::size_t> left;  // set once the grace is over: what was in the pipe then
  while (!left || *left > 0) {
    while (held_) co_await changed_.wait();
    if (drain_over_ && !left) {
      int waiting = 0;
      ::ioctl(stream->fd(), FIONREAD, &waiting);
      left = static_cast<std::size_t>(waiting);
    }
    const ssize_t n =
        ::read(stream->fd(), frame.payload(), std::min(OutputFrame::kPayload, left.value_or(SIZE_MAX)));
    if (n > 0) {
      co_await deliver(kind, frame, static_cast<std::size_t>(n));
      if (left) *left -= static_cast<std::size_t>(n);
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (drain_over_) break;
      try {
        co_await stream->wait_readable();
      } catch (const Error&) {
        // The grace is over; what has come meanwhile is still read.
      }
    } else {
      break;  // the end, or EIO of a terminal that nobody has open
    }
  }
  --pumps_;
  changed_.notify_all();
}

Task<> Session::deliver(link::OutputKind kind, OutputFrame& frame, std::size_t size) {
  if (!output_channel_) {
    co_await surroundings_.output.write(kind, number_, frame, size);
    co_return;
  }
  try {
    co_await output_channel_->write_all({frame.payload(), size}, kind == link::OutputKind::standard_error);
  } catch (const Error&) {
    // The client has gone; the process goes on without anybody listening.
  }
}

Task<> Session::attach(std::shared_ptr<link::ssh::Channel> channel, AttachedStreams streams) {
  if (status_.ended) throw Error(Code::wrong_state, "session {} has ended", id());
  if (streams != AttachedStreams::input) {
    if (attached_ || !spec_.plan.wait_for_go || status_.started == "true") {
      throw Error(Code::wrong_state, "the output of session {} goes elsewhere already", id());
    }
    output_channel_ = channel;
  }
  const std::weak_ptr<Session> weak = weak_from_this();
  channel->on_window_change = [weak](std::int32_t columns, std::int32_t rows) {
    if (const auto self = weak.lock()) {
      self->resize({static_cast<std::uint16_t>(columns), static_cast<std::uint16_t>(rows)});
    }
  };
  const auto input_ends = std::make_shared<bool>(streams == AttachedStreams::login);
  channel->on_signal = [weak, input_ends](std::string_view name) {
    if (name == link::ssh::kCloseInput) {
      *input_ends = true;
      return;
    }
    const auto self = weak.lock();
    const auto number = signal_number(name);
    if (self && number && self->pidfd_) send_signal(self->pidfd_.get(), *number);
  };
  attached_ = true;
  changed_.notify_all();
  spawn_detached(surroundings_.executor, "input of " + id(), feed(channel, input_ends));
  spawn_detached(surroundings_.executor, "attach to " + id(), close_after_end(channel, streams));
  while (!channel->closed()) co_await channel->wait_change();
}

Task<> Session::feed(std::shared_ptr<link::ssh::Channel> channel, std::shared_ptr<bool> input_ends) {
  const auto self = shared_from_this();
  while (status_.started.empty() && !status_.ended) co_await changed_.wait();
  std::string chunk(kInputChunk, '\0');
  std::exception_ptr failure;
  try {
    while (!status_.ended) {
      const std::size_t n = co_await channel->read_some(chunk.data(), chunk.size());
      if (n == 0) break;
      co_await write_input({chunk.data(), n});
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (*input_ends) co_await end_input();
  if (failure) std::rethrow_exception(failure);
}

Task<> Session::write_input(std::string_view bytes) {
  while (input_busy_) co_await changed_.wait();
  const auto stream = input_;
  if (!stream || !stream->is_open()) co_return;
  input_busy_ = true;
  try {
    co_await stream->write_all(bytes);
  } catch (const Error&) {
    stream->close();  // nobody reads it any more
  }
  input_busy_ = false;
  changed_.notify_all();
}

Task<> Session::end_input() {
  if (spec_.plan.terminal) {
    co_await write_input({&kEndOfTransmission, 1});
    co_return;
  }
  while (input_busy_) co_await changed_.wait();
  if (input_) input_->close();
}

Task<> Session::close_after_end(std::shared_ptr<link::ssh::Channel> channel, AttachedStreams streams) {
  const auto self = shared_from_this();
  co_await wait_ended();
  if (channel->closed()) co_return;
  if (streams != AttachedStreams::input && status_.started == "true") {
    link::ssh::Exit exit;
    exit.code = status_.exit.code;
    if (status_.exit.signal != 0) exit.signal = ssh_signal_name(status_.exit.signal);
    exit.core_dumped = status_.exit.core_dumped;
    co_await channel->send_exit(exit);
  } else if (streams == AttachedStreams::login) {
    co_await channel->write_all(status_.started + "\r\n", true);
    link::ssh::Exit exit;
    exit.code = status_.started.starts_with(launch_failure::not_found) ? kNotFoundExit : kNotExecutableExit;
    co_await channel->send_exit(exit);
  }
  co_await channel->close();
}

void Session::signal(int number, bool whole_tree) {
  if (status_.started.empty() && !status_.ended) {
    if (number == SIGKILL || number == SIGTERM || number == SIGINT) {
      cancelled_ = true;
      changed_.notify_all();
    }
    return;
  }
  if (!pidfd_) throw Error(Code::wrong_state, "session {} is not running", id());
  if (!whole_tree) return send_signal(pidfd_.get(), number);
  if (number == SIGKILL) return spec_.cgroup.kill();
  for (const pid_t process : spec_.cgroup.processes()) ::kill(process, number);
}

void Session::resize(WindowSize window) {
  spec_.plan.window = window;
  if (spec_.plan.terminal && standard_output_) set_window_size(standard_output_->fd(), window);
}

bool Session::output_is_read() const {
  if (held_ || output_channel_) return true;
  for (const auto& stream : {standard_output_, standard_error_}) {
    int waiting = 0;
    if (stream && ::ioctl(stream->fd(), FIONREAD, &waiting) == 0 && waiting > 0) return false;
  }
  return true;
}

void Session::hold_output(bool held) {
  held_ = held;
  changed_.notify_all();
}

Task<> Session::wait_settled() {
  const auto self = shared_from_this();
  while (status_.started.empty() && !waiting_for_attach_ && !status_.ended) co_await changed_.wait();
}

Task<> Session::wait_ended() {
  const auto self = shared_from_this();
  while (!status_.ended) co_await changed_.wait();
}

}  // namespace berth::tether
