#pragma once

#include <libssh/callbacks.h>
#include <libssh/libssh.h>

#include <memory>
#include <string>

#include "base/error.hpp"
#include "link/ssh.hpp"

namespace berth::link::ssh {

/// One libssh session on the loop: libssh is driven without blocking whenever its descriptor is ready.
/// Shared by its channels, so that it outlives them.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(const asio::any_io_executor& executor, UniqueFd stream);
  virtual ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ssh_session session() { return session_; }
  /// A second descriptor of the stream, for libssh to own: it closes what it was given.
  int descriptor_for_libssh();
  asio::any_io_executor executor() { return activity_.executor(); }

  /// From now on libssh's descriptor is watched; call once the session has it.
  void start();
  /// Lets libssh write what a call has queued.
  void kick();
  /// After a call that may have received or sent by itself: wakes who waits for what that brought, and who
  /// writes the answers.
  void note_changes();
  std::uint64_t received_packets() const { return packets_.in_packets; }
  /// Lets those look again who wait for room.
  void wake() { activity_.notify_all(); }
  /// Waits until libssh has worked: whatever was asked for may have come true.
  Task<> wait_activity();
  /// Repeats `step` until it gives something else than `again`; throws when the connection breaks or the
  /// limit passes.
  Task<int> until_done(std::function<int()> step, int again, Milliseconds limit, std::string what);

  bool broken() const { return broken_; }
  void break_off();
  Error broken_error() const;
  /// Throws broken_error() for a broken one. Before each call of libssh for a channel, which may outlive the
  /// connection: libssh would still read the descriptor, which others use by then.
  void require_unbroken() const;

  std::unique_ptr<Channel> make_channel(ssh_channel channel);
  /// A client's channel, still to be opened.
  std::unique_ptr<Channel> new_channel();

 private:
  Task<> pump_reads();
  Task<> pump_writes();
  void poll_once();
  bool is_readable();
  /// False when nothing was taken. Before each wait, see poll_once.
  bool take_what_came();

  Stream stream_;
  Event activity_;
  Event want_write_;
  ssh_session session_;
  ssh_event event_;
  ssh_counter_struct bytes_{};  ///< of the stream
  ssh_counter_struct packets_{};
  std::uint64_t noted_packets_ = 0;
  bool write_was_pending_ = false;
  bool broken_ = false;
};

struct Channel::State {
  /// What was taken from libssh and not yet asked for.
  struct Unread {
    std::string bytes;
    std::size_t begin = 0;

    std::size_t size() const { return bytes.size() - begin; }
  };

  /// What libssh has of a stream goes into an empty `unread`; what libssh said when that is nothing.
  int fill(bool error_stream);
  std::size_t take(char* buffer, std::size_t size, bool error_stream);
  /// Bytes of a stream that nobody has asked for yet.
  std::size_t waiting(bool error_stream) const;
  /// Whether so much of the other stream is unread that this one has to wait too. Never true of both.
  bool held_back(bool error_stream) const;

  std::shared_ptr<Connection> connection;
  ssh_channel channel = nullptr;
  Unread unread[2];  ///< output, error stream
  std::optional<Exit> exit;
  bool closed = false;
  std::unique_ptr<ssh_channel_callbacks_struct> callbacks;
};

}  // namespace berth::link::ssh
