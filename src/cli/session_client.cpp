#include "cli/session_client.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "cli/detach_keys.hpp"
#include "cli/output_sink.hpp"
#include "cli/terminal.hpp"
#include "launcher/interaction.hpp"

namespace berth::cli {
namespace {

using launcher::Frame;
using launcher::FrameKind;

/// Input is read while less than this is on its way, frames while less than this waits to be written.
constexpr std::size_t kBufferLimit = 64u << 10;
constexpr std::size_t kReadSize = 32u << 10;

Error launcher_gone() {
  return Error(Code::unavailable,
               "the launcher of this container went away; see 'berth ps -a' for the container's state");
}

std::string lost_notice(std::uint64_t bytes, bool tty) {
  const char* line_end = tty ? "\r\n" : "\n";
  return fmt::format(
      "{0}berth: {1} bytes of output were left out here: they were not read fast enough; "
      "'berth logs' has them{0}",
      line_end, bytes);
}

std::optional<WindowSize> client_window_size(const SessionOptions& options) {
  const std::optional<WindowSize> size = window_size(options.input);
  return size ? size : window_size(options.output);
}

constexpr std::array kEndingSignals{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

sigset_t no_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  return set;
}

/// What Docker's client passes on, less the signals of job control, which stay the shell's.
sigset_t proxied_signals() {
  sigset_t set = no_signals();
  for (const int number : kEndingSignals) ::sigaddset(&set, number);
  for (const int number : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR})
    ::sigaddset(&set, number);
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) ::sigaddset(&set, number);
  return set;
}

sigset_t terminal_signals() {
  sigset_t set = no_signals();
  for (const int number : kEndingSignals) ::sigaddset(&set, number);
  ::sigaddset(&set, SIGWINCH);
  return set;
}

/// Signals become readable here while it lives, instead of acting on this process, and a pipe without a
/// reader is an error of the write.
class SignalReader {
 public:
  explicit SignalReader(const sigset_t& set) {
    fd_.reset(check(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "make a signal descriptor"));
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    on_broken_pipe_ = ::signal(SIGPIPE, SIG_IGN);
  }
  SignalReader(const SignalReader&) = delete;
  SignalReader& operator=(const SignalReader&) = delete;
  ~SignalReader() {
    ::signal(SIGPIPE, on_broken_pipe_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

  int fd() const { return fd_.get(); }

  std::optional<int> next() {
    signalfd_siginfo info{};
    if (::read(fd_.get(), &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  UniqueFd fd_;
  sigset_t before_{};
  sighandler_t on_broken_pipe_ = SIG_DFL;
};

class Session {
 public:
  Session(engine::Attachment attachment, const SessionOptions& options);
  SessionEnd run();

 private:
  bool finished() const { return end_.has_value() && output_.empty() && error_.empty(); }
  bool wants_frames() const { return !end_ && output_.size() + error_.size() < kBufferLimit; }
  bool wants_input() const { return reading_input_ && !end_ && outgoing_.size() < kBufferLimit; }

  void wait();
  void read_frames();
  void handle(Frame&& frame);
  void handle_final(const Frame& frame);
  void send_frames();
  void read_input();
  void handle_signals();
  void send_window_size();
  /// Ends at once: what could not be written by now is lost.
  void leave(SessionEnd end);

  void enqueue(std::string frame) {
    if (sending_) outgoing_ += frame;
  }

  const SessionOptions options_;
  const bool tty_;
  SignalReader signals_;
  UniqueFd stream_;
  launcher::FrameParser parser_;
  OutputSink output_;
  OutputSink error_;
  DetachFilter detach_;
  std::optional<RawMode> raw_;

  std::string early_;
  std::string outgoing_;
  bool sending_ = true;
  bool reading_input_ = false;
  std::optional<SessionEnd> end_;
  std::optional<Error> failure_;
};

Session::Session(engine::Attachment attachment, const SessionOptions& options)
    : options_(options),
      tty_(attachment.tty),
      signals_(tty_                    ? terminal_signals()
               : options.proxy_signals ? proxied_signals()
                                       : no_signals()),
      stream_(std::move(attachment.stream)),
      output_(options.output, "standard output"),
      error_(options.error, "standard error"),
      detach_(tty_ ? options.detach_keys : std::string()),
      early_(std::move(attachment.early)),
      reading_input_(options.with_input) {
  set_nonblocking(stream_.get());
  if (tty_ && options.with_input && is_terminal(options.input)) raw_.emplace(options.input);
  if (tty_) send_window_size();
}

SessionEnd Session::run() {
  const auto sink = [this](Frame&& frame) { handle(std::move(frame)); };
  parser_.feed(std::exchange(early_, {}), sink);
  while (!finished()) wait();
  if (failure_) throw *failure_;
  return *end_;
}

void Session::wait() {
  enum { stream, input, output, error, signals, count };
  // A descriptor of which nothing is wanted is left out: its end would be reported again and again.
  std::array<pollfd, count> polled{};
  for (pollfd& entry : polled) entry.fd = -1;
  short stream_events = 0;
  if (wants_frames()) stream_events |= POLLIN;
  if (!end_ && !outgoing_.empty()) stream_events |= POLLOUT;
  if (stream_events != 0) polled[stream] = {stream_.get(), stream_events, 0};
  if (wants_input()) polled[input] = {options_.input, POLLIN, 0};
  if (!output_.empty()) polled[output] = {output_.fd(), POLLOUT, 0};
  if (!error_.empty()) polled[error] = {error_.fd(), POLLOUT, 0};
  // Signals wait in the kernel, each at most once, while what was sent has not left yet.
  if (outgoing_.size() < 2 * kBufferLimit) polled[signals] = {signals_.fd(), POLLIN, 0};

  if (::poll(polled.data(), polled.size(), -1) < 0) {
    if (errno == EINTR) return;
    throw errno_error("wait for the session");
  }
  if (polled[output].revents != 0) output_.write_some();
  if (polled[error].revents != 0) error_.write_some();
  if (polled[signals].revents != 0) handle_signals();
  if ((polled[stream].revents & POLLOUT) != 0) send_frames();
  if ((polled[stream].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_frames();
  if (polled[input].revents != 0) read_input();
}

void Session::read_frames() {
  if (!wants_frames()) return send_frames();
  std::array<char, kReadSize> buffer;
  const ssize_t size = ::read(stream_.get(), buffer.data(), buffer.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    failure_ = launcher_gone();
    end_.emplace();
    return;
  }
  parser_.feed({buffer.data(), static_cast<std::size_t>(size)},
               [this](Frame&& frame) { handle(std::move(frame)); });
}

void Session::handle(Frame&& frame) {
  if (end_) return;
  switch (frame.kind) {
    case FrameKind::standard_output:
      return output_.append(frame.payload);
    case FrameKind::standard_error:
      return error_.append(frame.payload);
    case FrameKind::lost:
      return error_.append(lost_notice(launcher::decode_lost(frame.payload), tty_));
    case FrameKind::started:
      return;
    case FrameKind::exit:
    case FrameKind::error:
      return handle_final(frame);
    default:
      throw Error(Code::corrupt, "the launcher sent a frame of kind {}, which only clients send",
                  static_cast<int>(frame.kind));
  }
}

void Session::handle_final(const Frame& frame) {
  end_.emplace();
  if (frame.kind == FrameKind::error) {
    failure_ = launcher::decode_error(frame.payload);
  } else {
    end_->exit = launcher::decode_exit(frame.payload);
  }
}

void Session::send_frames() {
  if (outgoing_.empty()) return;
  const ssize_t sent = ::send(stream_.get(), outgoing_.data(), outgoing_.size(), MSG_NOSIGNAL);
  if (sent >= 0) {
    outgoing_.erase(0, static_cast<std::size_t>(sent));
  } else if (errno != EAGAIN && errno != EINTR) {
    // The launcher reads no more; what it still says comes before the end of the stream.
    sending_ = false;
    outgoing_.clear();
  }
}

void Session::read_input() {
  std::array<char, kReadSize> buffer;
  const ssize_t size = ::read(options_.input, buffer.data(), buffer.size());
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    reading_input_ = false;
    return enqueue(launcher::encode_frame(FrameKind::end_of_input, {}));
  }
  std::string passed;
  const bool detached = detach_.filter({buffer.data(), static_cast<std::size_t>(size)}, passed);
  if (!passed.empty()) enqueue(launcher::encode_frame(FrameKind::input, passed));
  if (!detached) return;
  send_frames();
  leave({.reason = SessionEnd::Reason::detached, .exit = {}, .signal = 0});
}

void Session::handle_signals() {
  while (const std::optional<int> number = signals_.next()) {
    if (*number == SIGWINCH) {
      send_window_size();
    } else if (tty_ || end_) {
      leave({.reason = SessionEnd::Reason::interrupted, .exit = {}, .signal = *number});
    } else if (!options_.pass_signal || !options_.pass_signal(*number)) {
      enqueue(launcher::encode_frame(FrameKind::signal, std::string(1, static_cast<char>(*number))));
    }
  }
}

void Session::leave(SessionEnd end) {
  end_ = std::move(end);
  failure_.reset();
  output_.discard();
  error_.discard();
}

void Session::send_window_size() {
  if (const std::optional<WindowSize> size = client_window_size(options_))
    enqueue(launcher::encode_resize(size->columns, size->rows));
}

}  // namespace

engine::AttachOptions start_options(const SessionOptions& options) {
  const WindowSize size = client_window_size(options).value_or(WindowSize{});
  engine::AttachOptions attach;
  attach.with_input = options.with_input;
  attach.columns = size.columns;
  attach.rows = size.rows;
  return attach;
}

SessionEnd run_session(engine::Attachment attachment, const SessionOptions& options) {
  return Session(std::move(attachment), options).run();
}

std::optional<launcher::Exit> wait_started(engine::Attachment attachment) {
  launcher::FrameParser parser;
  bool started = false;
  std::optional<launcher::Exit> exit;
  const auto handle = [&](Frame&& frame) {
    if (started || exit) return;
    if (frame.kind == FrameKind::started) started = true;
    if (frame.kind == FrameKind::exit) exit = launcher::decode_exit(frame.payload);
    if (frame.kind == FrameKind::error) throw launcher::decode_error(frame.payload);
  };
  set_nonblocking(attachment.stream.get(), false);
  parser.feed(attachment.early, handle);
  std::array<char, kReadSize> buffer;
  while (!started && !exit) {
    const ssize_t size = ::read(attachment.stream.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) throw launcher_gone();
    parser.feed({buffer.data(), static_cast<std::size_t>(size)}, handle);
  }
  return exit;
}

int exit_status(const SessionEnd& end) {
  switch (end.reason) {
    case SessionEnd::Reason::detached:
      fmt::print(stderr, "read escape sequence\n");
      return 0;
    case SessionEnd::Reason::interrupted:
      ::signal(end.signal, SIG_DFL);
      ::raise(end.signal);
      return 128 + end.signal;
    case SessionEnd::Reason::exited:
      break;
  }
  return exit_status(end.exit);
}

int exit_status(const launcher::Exit& exit) {
  if (!exit.error.empty()) fmt::print(stderr, "berth: {}\n", printable(exit.error));
  return exit.code;
}

}  // namespace berth::cli
