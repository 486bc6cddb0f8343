#include "cli/session_client.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

#include <functional>
#include <future>
#include <thread>

#include "base/error.hpp"
#include "base/io.hpp"
#include "cli/detach_keys.hpp"

namespace berth::cli {
namespace {

using launcher::FrameKind;

constexpr int kPatience = 10'000;  // milliseconds

/// The launcher's end of the stream, driven by a test.
class Peer {
 public:
  explicit Peer(UniqueFd stream) : stream_(std::move(stream)) {}

  void send(FrameKind kind, std::string_view payload) {
    write_all(stream_.get(), launcher::encode_frame(kind, payload));
  }
  void send_raw(std::string_view bytes) { write_all(stream_.get(), bytes); }
  void exit_with(std::int32_t code) {
    write_all(stream_.get(), launcher::encode_exit({.code = code, .error = {}}));
  }

  /// The next frame; nothing at the end of the stream or after kPatience.
  std::optional<launcher::Frame> receive() {
    while (frames_.empty()) {
      pollfd entry{stream_.get(), POLLIN, 0};
      if (::poll(&entry, 1, kPatience) != 1) return std::nullopt;
      char buffer[65536];
      const ssize_t size = ::read(stream_.get(), buffer, sizeof buffer);
      if (size <= 0) return std::nullopt;
      parser_.feed({buffer, static_cast<std::size_t>(size)},
                   [this](launcher::Frame&& frame) { frames_.push_back(std::move(frame)); });
    }
    launcher::Frame frame = std::move(frames_.front());
    frames_.erase(frames_.begin());
    return frame;
  }

  std::string receive_input() {
    std::string all;
    while (const auto frame = receive()) {
      if (frame->kind == FrameKind::end_of_input) break;
      EXPECT_EQ(frame->kind, FrameKind::input);
      all += frame->payload;
    }
    return all;
  }

  void close() { stream_.reset(); }

 private:
  UniqueFd stream_;
  launcher::FrameParser parser_;
  std::vector<launcher::Frame> frames_;
};

/// A session between pipes of the test and a scripted peer.
class SessionClient : public testing::Test {
 protected:
  SessionClient() {
    auto [ours, theirs] = make_socket_pair();
    attachment_.stream = std::move(ours);
    peer_stream_ = std::move(theirs);
    std::tie(input_, input_writer_) = make_pipe();
    std::tie(output_reader_, output_) = make_pipe();
    std::tie(error_reader_, error_) = make_pipe();
  }

  SessionOptions options(bool with_input) {
    SessionOptions options;
    options.input = input_.get();
    options.output = output_.get();
    options.error = error_.get();
    options.with_input = with_input;
    options.detach_keys = parse_detach_keys(kDefaultDetachKeys);
    return options;
  }

  SessionEnd run(const SessionOptions& options, const std::function<void(Peer&)>& script) {
    std::thread peer([this, &script] {
      Peer end(std::move(peer_stream_));
      script(end);
    });
    try {
      SessionEnd end = run_session(std::move(attachment_), options);
      peer.join();
      return end;
    } catch (...) {
      peer.join();
      throw;
    }
  }

  std::string written() {
    output_.reset();
    return read_all(output_reader_.get());
  }

  engine::Attachment attachment_;
  UniqueFd peer_stream_;
  UniqueFd input_, input_writer_, output_, output_reader_, error_, error_reader_;
};

TEST_F(SessionClient, SeparatesOutputsAndReturnsTheExit) {
  const SessionEnd end = run(options(false), [](Peer& peer) {
    peer.send(FrameKind::started, {});
    peer.send(FrameKind::standard_output, "out\n");
    peer.send(FrameKind::standard_error, "err\n");
    peer.exit_with(7);
  });
  EXPECT_EQ(end.reason, SessionEnd::Reason::exited);
  EXPECT_EQ(end.exit.code, 7);
  EXPECT_EQ(written(), "out\n");
  error_.reset();
  EXPECT_EQ(read_all(error_reader_.get()), "err\n");
}

TEST_F(SessionClient, TakesFramesInAnyPieces) {
  const std::string frames = launcher::encode_frame(FrameKind::standard_output, "one ") +
                             launcher::encode_frame(FrameKind::standard_output, "two") +
                             launcher::encode_exit({.code = 3, .error = {}});
  attachment_.early = frames.substr(0, 5);
  const SessionEnd end = run(options(false), [&](Peer& peer) {
    for (const char byte : frames.substr(5)) peer.send_raw({&byte, 1});
  });
  EXPECT_EQ(end.exit.code, 3);
  EXPECT_EQ(written(), "one two");
}

TEST_F(SessionClient, TheWholeAnswerMayHaveComeEarly) {
  attachment_.early = launcher::encode_frame(FrameKind::standard_output, "x") +
                      launcher::encode_exit({.code = 0, .error = {}});
  EXPECT_EQ(run(options(false), [](Peer&) {}).exit.code, 0);
  EXPECT_EQ(written(), "x");
}

TEST_F(SessionClient, PassesInputAndItsEnd) {
  write_all(input_writer_.get(), "hello");
  input_writer_.reset();
  std::string received;
  run(options(true), [&](Peer& peer) {
    received = peer.receive_input();
    peer.exit_with(0);
  });
  EXPECT_EQ(received, "hello");
}

TEST_F(SessionClient, OutputFlowsWhileNobodyReadsTheInput) {
  // Far more than the socket and the client hold; without -i's reader it waits in the user's pipe.
  std::thread writer([this] {
    const std::string block(1u << 20, 'i');
    for (int i = 0; i < 4; ++i) write_all(input_writer_.get(), block);
    input_writer_.reset();
  });
  std::string received;
  std::thread reader([&] { received = read_all(output_reader_.get()); });
  std::size_t input_size = 0;
  const SessionEnd end = run(options(true), [&](Peer& peer) {
    for (int i = 0; i < 200; ++i) peer.send(FrameKind::standard_output, std::string(20'000, 'o'));
    input_size = peer.receive_input().size();
    peer.exit_with(0);
  });
  writer.join();
  output_.reset();
  reader.join();
  EXPECT_EQ(end.exit.code, 0);
  EXPECT_EQ(input_size, 4u << 20);
  EXPECT_EQ(received.size(), 4'000'000u);
}

TEST_F(SessionClient, ASlowReaderOfTheOutputHoldsOnlyTheOutput) {
  std::string received;
  std::string output;
  std::thread reader;
  const SessionEnd end = run(options(true), [&](Peer& peer) {
    // The output's reader begins only once the input has passed the client that waits for it.
    std::thread flood([&] {
      for (int i = 0; i < 40; ++i) peer.send(FrameKind::standard_output, std::string(60'000, 'o'));
    });
    write_all(input_writer_.get(), "still flows");
    input_writer_.reset();
    received = peer.receive_input();
    reader = std::thread([&] { output = read_all(output_reader_.get()); });
    flood.join();
    peer.exit_with(5);
  });
  output_.reset();
  reader.join();
  EXPECT_EQ(received, "still flows");
  EXPECT_EQ(output.size(), 2'400'000u);
  EXPECT_EQ(end.exit.code, 5);
}

TEST_F(SessionClient, ThrowsWhatTheLauncherSays) {
  try {
    run(options(false), [](Peer& peer) {
      peer.send(FrameKind::standard_output, "before");
      peer.send_raw(launcher::encode_error(Error(Code::capacity, "no memory")));
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::capacity);
    EXPECT_EQ(error.message(), "no memory");
  }
  EXPECT_EQ(written(), "before");
}

TEST_F(SessionClient, ALauncherThatGoesAwayIsAnError) {
  try {
    run(options(false), [](Peer& peer) {
      peer.send_raw(launcher::encode_frame(FrameKind::standard_output, "cut").substr(0, 9));
      peer.close();
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::unavailable);
  }
}

TEST_F(SessionClient, AClosedOutputIsAnError) {
  output_reader_.reset();
  try {
    run(options(false), [](Peer& peer) {
      peer.send(FrameKind::standard_output, "lost");
      peer.receive();
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "write to standard output: Broken pipe");
  }
}

TEST_F(SessionClient, PassesSignalsOn) {
  std::optional<launcher::Frame> frame;
  const auto client = ::pthread_self();
  run(options(false), [&](Peer& peer) {
    // The output shows that the client waits with its signals blocked.
    peer.send(FrameKind::standard_output, "x");
    char byte = 0;
    EXPECT_EQ(::read(output_reader_.get(), &byte, 1), 1);
    ::pthread_kill(client, SIGUSR1);
    frame = peer.receive();
    peer.exit_with(0);
  });
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->kind, FrameKind::signal);
  EXPECT_EQ(frame->payload, std::string(1, static_cast<char>(SIGUSR1)));
}

TEST_F(SessionClient, ASignalDoesNotWaitBehindInput) {
  std::promise<int> passed;
  SessionOptions given = options(true);
  given.pass_signal = [&](int number) {
    passed.set_value(number);
    return true;
  };
  std::thread writer([this] {
    write_all(input_writer_.get(), std::string(4u << 20, 'i'));
    input_writer_.reset();
  });
  const auto client = ::pthread_self();
  run(given, [&](Peer& peer) {
    peer.send(FrameKind::standard_output, "x");
    char byte = 0;
    EXPECT_EQ(::read(output_reader_.get(), &byte, 1), 1);
    ::pthread_kill(client, SIGINT);
    EXPECT_EQ(passed.get_future().get(), SIGINT);
    peer.receive_input();
    peer.exit_with(0);
  });
  writer.join();
}

TEST_F(SessionClient, WaitsForTheStartOnly) {
  attachment_.early =
      launcher::encode_frame(FrameKind::started, {}) + launcher::encode_exit({.code = 3, .error = {}});
  EXPECT_FALSE(wait_started(std::move(attachment_)));
}

TEST_F(SessionClient, AProcessThatNeverRanSaysWhy) {
  Peer(std::move(peer_stream_)).send_raw(launcher::encode_exit({.code = 127, .error = "sh: not found"}));
  const auto exit = wait_started(std::move(attachment_));
  ASSERT_TRUE(exit);
  EXPECT_EQ(exit->code, 127);
  EXPECT_EQ(exit->error, "sh: not found");
}

TEST_F(SessionClient, AStartThatFailsThrows) {
  Peer(std::move(peer_stream_)).send_raw(launcher::encode_error(Error(Code::capacity, "no memory")));
  EXPECT_THROW(wait_started(std::move(attachment_)), Error);
}

TEST_F(SessionClient, ALauncherThatDiesBeforeTheStartIsAnError) {
  peer_stream_.reset();
  EXPECT_THROW(wait_started(std::move(attachment_)), Error);
}

/// As above with the user at a terminal.
class TerminalSession : public SessionClient {
 protected:
  TerminalSession() {
    int master = -1;
    int slave = -1;
    winsize size{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::openpty(&master, &slave, nullptr, nullptr, &size), 0);
    master_.reset(master);
    slave_.reset(slave);
    attachment_.tty = true;
  }

  SessionOptions terminal_options() {
    SessionOptions result = options(true);
    result.input = slave_.get();
    return result;
  }

  tcflag_t local_modes() {
    termios modes{};
    ::tcgetattr(slave_.get(), &modes);
    return modes.c_lflag;
  }

  UniqueFd master_, slave_;
};

TEST_F(TerminalSession, TellsItsSizeAndEveryChange) {
  std::vector<launcher::Frame> frames;
  const auto client = ::pthread_self();
  run(terminal_options(), [&](Peer& peer) {
    frames.push_back(peer.receive().value_or(launcher::Frame{}));
    winsize size{.ws_row = 50, .ws_col = 132, .ws_xpixel = 0, .ws_ypixel = 0};
    ::ioctl(slave_.get(), TIOCSWINSZ, &size);
    ::pthread_kill(client, SIGWINCH);
    frames.push_back(peer.receive().value_or(launcher::Frame{}));
    peer.exit_with(0);
  });
  EXPECT_EQ(launcher::encode_frame(frames[0].kind, frames[0].payload), launcher::encode_resize(80, 24));
  EXPECT_EQ(launcher::encode_frame(frames[1].kind, frames[1].payload), launcher::encode_resize(132, 50));
}

TEST_F(TerminalSession, KeysGoThroughRawUntilTheEnd) {
  const tcflag_t before = local_modes();
  std::optional<launcher::Frame> keys;
  tcflag_t during = 0;
  run(terminal_options(), [&](Peer& peer) {
    EXPECT_EQ(peer.receive()->kind, FrameKind::resize);
    during = local_modes();
    write_all(master_.get(), "\x03\r");
    keys = peer.receive();
    peer.exit_with(0);
  });
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->payload.substr(0, 2), "\x03\r");
  EXPECT_EQ(during & static_cast<tcflag_t>(ISIG | ICANON | ECHO), 0u);
  EXPECT_EQ(local_modes(), before);
}

TEST_F(TerminalSession, DetachKeysLetGo) {
  const tcflag_t before = local_modes();
  const SessionEnd end = run(terminal_options(), [&](Peer& peer) {
    EXPECT_EQ(peer.receive()->kind, FrameKind::resize);
    write_all(master_.get(), "\x10\x11");
    EXPECT_FALSE(peer.receive());
  });
  EXPECT_EQ(end.reason, SessionEnd::Reason::detached);
  EXPECT_EQ(exit_status(end), 0);
  EXPECT_EQ(local_modes(), before);
}

TEST_F(TerminalSession, ASignalEndsTheClientAndRestoresTheTerminal) {
  const tcflag_t before = local_modes();
  const auto client = ::pthread_self();
  const SessionEnd end = run(terminal_options(), [&](Peer& peer) {
    EXPECT_EQ(peer.receive()->kind, FrameKind::resize);
    ::pthread_kill(client, SIGTERM);
    EXPECT_FALSE(peer.receive());
  });
  EXPECT_EQ(end.reason, SessionEnd::Reason::interrupted);
  EXPECT_EQ(end.signal, SIGTERM);
  EXPECT_EQ(local_modes(), before);
}

}  // namespace
}  // namespace berth::cli
