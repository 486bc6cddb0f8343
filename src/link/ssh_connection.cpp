#include "link/ssh_connection.hpp"

#include <libssh/callbacks.h>
#include <libssh/server.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include <boost/asio/post.hpp>

#include "base/io.hpp"

namespace berth::link::ssh {
namespace {

/// libssh sends at most one packet of this size at a time; larger writes only copy more.
constexpr std::size_t kWriteSize = 32u << 10;
/// libssh reads 4 KiB of its descriptor at a time: as many turns as empty a socket buffer.
constexpr int kTurnsAtOnce = 64;
/// Of one stream of a channel, before the other one is held back too: they share a window.
constexpr std::size_t kUnreadLimit = 1u << 20;

struct Library {
  Library() { ssh_init(); }
};

}  // namespace

Connection::Connection(const asio::any_io_executor& executor, UniqueFd stream)
    : stream_(executor, std::move(stream)), activity_(executor), want_write_(executor) {
  static const Library library;
  session_ = ssh_new();
  event_ = ssh_event_new();
  if (session_ == nullptr || event_ == nullptr) throw Error(Code::capacity, "no memory for an SSH session");
  ssh_set_counters(session_, &bytes_, &packets_);
}

Connection::~Connection() {
  ssh_event_remove_session(event_, session_);
  ssh_event_free(event_);
  ssh_free(session_);
}

int Connection::descriptor_for_libssh() {
  return duplicate(stream_.fd()).release();
}

void Connection::start() {
  set_nonblocking(stream_.fd());  // libssh's client makes its descriptor blocking
  if (ssh_event_add_session(event_, session_) != SSH_OK)
    throw Error(Code::internal, "libssh cannot watch its session");
  const auto executor = activity_.executor();
  const auto self = shared_from_this();
  // The pumps end when break_off closes the stream.
  spawn_detached(executor, "ssh",
                 [](std::shared_ptr<Connection> kept) -> Task<> { co_await kept->pump_reads(); }(self));
  spawn_detached(executor, "ssh",
                 [](std::shared_ptr<Connection> kept) -> Task<> { co_await kept->pump_writes(); }(self));
  poll_once();
}

bool Connection::is_readable() {
  pollfd state{stream_.fd(), POLLIN, 0};
  return ::poll(&state, 1, 0) > 0;
}

void Connection::poll_once() {
  if (broken_) return;
  // Until nothing is left: what looks at a virtio-serial port takes a buffer out of its queue, and then the
  // buffer's interrupt does not wake the pump.
  for (int turn = 0; turn < kTurnsAtOnce; ++turn) {
    const std::uint64_t taken = bytes_.in_bytes;
    if (ssh_event_dopoll(event_, 0) == SSH_ERROR) {
      break_off();
      break;
    }
    if (!is_readable()) break;
    // It was readable before this turn too: this is within a callback, and libssh reads on when that returns.
    if (turn > 0 && bytes_.in_bytes == taken) break;
    if (turn == kTurnsAtOnce - 1)
      asio::post(activity_.executor(), [self = shared_from_this()] { self->poll_once(); });
  }
  if (!broken_ && (ssh_get_status(session_) & (SSH_CLOSED | SSH_CLOSED_ERROR)) != 0) break_off();
  activity_.notify_all();
  if (broken_) return;
  write_was_pending_ = (ssh_get_poll_flags(session_) & SSH_WRITE_PENDING) != 0;
  if (write_was_pending_) want_write_.notify_all();
}

Task<> Connection::pump_reads() {
  while (!broken_) {
    co_await stream_.wait_readable();
    poll_once();
  }
}

Task<> Connection::pump_writes() {
  while (!broken_) {
    if ((ssh_get_poll_flags(session_) & SSH_WRITE_PENDING) == 0) {
      co_await want_write_.wait();
      continue;
    }
    co_await stream_.wait_writable();
    poll_once();
  }
}

void Connection::kick() {
  poll_once();
}

void Connection::note_changes() {
  const bool write_pending = (ssh_get_poll_flags(session_) & SSH_WRITE_PENDING) != 0;
  // An answer that the call made may be left over: nothing else would write it.
  if (write_pending) want_write_.notify_all();
  const bool written = write_was_pending_ && !write_pending;
  write_was_pending_ = write_pending;
  if (packets_.in_packets == noted_packets_ && !written) return;
  noted_packets_ = packets_.in_packets;
  activity_.notify_all();
}

bool Connection::take_what_came() {
  if (!is_readable()) return false;
  const std::uint64_t taken_before = bytes_.in_bytes;
  poll_once();
  require_unbroken();
  return bytes_.in_bytes != taken_before;
}

Task<> Connection::wait_activity() {
  require_unbroken();
  if (!take_what_came()) co_await activity_.wait();
}

Task<int> Connection::until_done(std::function<int()> step, int again, Milliseconds limit, std::string what) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const int result = step();
    note_changes();
    if (result != again) co_return result;
    require_unbroken();
    if (take_what_came()) continue;
    if (!co_await activity_.wait_until(deadline))
      throw Error(Code::timeout, "{} took longer than {} ms", what, limit.count());
  }
}

void Connection::break_off() {
  if (broken_) return;
  broken_ = true;
  stream_.close();
  activity_.notify_all();
  want_write_.notify_all();
}

Error Connection::broken_error() const {
  const char* reason = ssh_get_error(session_);
  return Error(Code::unavailable, "the SSH connection over the attach port ended{}{}",
               reason != nullptr && *reason != '\0' ? ": " : "", reason != nullptr ? reason : "");
}

void Connection::require_unbroken() const {
  if (broken_) throw broken_error();
}

std::unique_ptr<Channel> Connection::make_channel(ssh_channel channel) {
  auto state = std::make_shared<Channel::State>();
  state->connection = shared_from_this();
  state->channel = channel;
  return std::unique_ptr<Channel>(new Channel(std::move(state)));
}

std::unique_ptr<Channel> Connection::new_channel() {
  require_unbroken();
  ssh_channel channel = ssh_channel_new(session());
  if (channel == nullptr) throw broken_error();
  return make_channel(channel);
}

Channel::Channel(std::shared_ptr<State> state) : state_(std::move(state)) {}

Channel::~Channel() {
  // libssh keeps a freed channel until the peer has closed it too.
  if (state_->callbacks) ssh_remove_channel_callbacks(state_->channel, state_->callbacks.get());
  if (state_->connection->broken()) return;  // the session frees what is left of its channels
  ssh_channel_free(state_->channel);
  state_->connection->kick();
}

int Channel::State::fill(bool error_stream) {
  std::string& bytes = unread[error_stream].bytes;
  unread[error_stream].begin = 0;
  const int count = ssh_channel_poll(channel, error_stream ? 1 : 0);
  bytes.resize(static_cast<std::size_t>(std::max(count, 0)));
  if (count <= 0) return count;
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const int n = ssh_channel_read_nonblocking(channel, bytes.data(), size, error_stream ? 1 : 0);
  bytes.resize(static_cast<std::size_t>(std::max(n, 0)));
  return n;
}

std::size_t Channel::State::take(char* buffer, std::size_t size, bool error_stream) {
  Unread& from = unread[error_stream];
  const std::size_t count = std::min(size, from.size());
  std::memcpy(buffer, from.bytes.data() + from.begin, count);
  from.begin += count;
  if (from.size() == 0) connection->wake();
  return count;
}

std::size_t Channel::State::waiting(bool error_stream) const {
  const int held = ssh_channel_poll(channel, error_stream ? 1 : 0);
  return unread[error_stream].size() + static_cast<std::size_t>(std::max(held, 0));
}

bool Channel::State::held_back(bool error_stream) const {
  const std::size_t other = waiting(!error_stream);
  return other > kUnreadLimit && other > waiting(error_stream);
}

Task<std::size_t> Channel::read_some(char* buffer, std::size_t size, bool error_stream) {
  const auto state = state_;
  co_await yield_to_loop();
  // Each read opens libssh's whole window anew, however much is still unread. So everything there is gets
  // read at once, and only when what was read before has been taken, of the other stream too.
  while (state->unread[error_stream].size() == 0) {
    state->connection->require_unbroken();
    if (state->held_back(error_stream)) {
      state->connection->note_changes();
      co_await state->connection->wait_activity();
      continue;
    }
    const int n = state->fill(error_stream);
    state->connection->note_changes();
    if (n > 0) {
      state->connection->kick();  // the window that this reading opened
      break;
    }
    if (n == SSH_EOF || ssh_channel_is_eof(state->channel) != 0 || ssh_channel_is_closed(state->channel) != 0)
      co_return 0;
    if (n == SSH_ERROR) throw state->connection->broken_error();
    co_await state->connection->wait_activity();
  }
  co_return state->take(buffer, size, error_stream);
}

Task<> Channel::write_all(std::string_view bytes, bool error_stream) {
  const auto state = state_;
  while (!bytes.empty()) {
    co_await yield_to_loop();
    state->connection->require_unbroken();
    if (ssh_channel_is_open(state->channel) == 0) throw Error(Code::unavailable, "the SSH channel is closed");
    const auto piece = static_cast<std::uint32_t>(std::min(bytes.size(), kWriteSize));
    const std::uint64_t packets_before = state->connection->received_packets();
    const int n = error_stream ? ssh_channel_write_stderr(state->channel, bytes.data(), piece)
                               : ssh_channel_write(state->channel, bytes.data(), piece);
    state->connection->note_changes();
    if (n < 0) throw state->connection->broken_error();
    bytes.remove_prefix(static_cast<std::size_t>(n));
    state->connection->kick();
    // What libssh holds for a descriptor that is not writable counts as not yet written.
    while ((ssh_get_poll_flags(state->connection->session()) & SSH_WRITE_PENDING) != 0) {
      co_await state->connection->wait_activity();
    }
    // What opens the window may have come meanwhile, and nothing might come after it.
    const bool unchanged = state->connection->received_packets() == packets_before;
    if (n == 0 && unchanged) co_await state->connection->wait_activity();
  }
}

Task<> Channel::send_end() {
  state_->connection->require_unbroken();
  if (ssh_channel_is_open(state_->channel) != 0) ssh_channel_send_eof(state_->channel);
  state_->connection->kick();
  co_return;
}

Task<> Channel::wait_change() {
  co_await state_->connection->wait_activity();
}

const std::optional<Exit>& Channel::exit() const {
  return state_->exit;
}

bool Channel::closed() const {
  return state_->closed || state_->connection->broken() || ssh_channel_is_closed(state_->channel) != 0;
}

Task<> Channel::send_window_change(std::int32_t columns, std::int32_t rows) {
  state_->connection->require_unbroken();
  ssh_channel_change_pty_size(state_->channel, columns, rows);
  state_->connection->kick();
  co_return;
}

Task<> Channel::send_signal(const std::string& name_without_sig) {
  state_->connection->require_unbroken();
  ssh_channel_request_send_signal(state_->channel, name_without_sig.c_str());
  state_->connection->kick();
  co_return;
}

Task<> Channel::close_input() {
  co_await send_signal(kCloseInput);
  co_await send_end();
}

Task<> Channel::send_exit(const Exit& exit) {
  state_->connection->require_unbroken();
  if (exit.signal.empty()) {
    ssh_channel_request_send_exit_status(state_->channel, exit.code);
  } else {
    ssh_channel_request_send_exit_signal(state_->channel, exit.signal.c_str(), exit.core_dumped ? 1 : 0, "",
                                         "");
  }
  state_->connection->kick();
  co_return;
}

Task<> Channel::close() {
  state_->connection->require_unbroken();
  if (ssh_channel_is_open(state_->channel) != 0) ssh_channel_close(state_->channel);
  state_->connection->kick();
  co_return;
}

}  // namespace berth::link::ssh
