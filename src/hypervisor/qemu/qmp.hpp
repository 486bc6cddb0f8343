#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/unique_fd.hpp"
#include "hypervisor/qemu/qmp_message.hpp"

namespace berth::hypervisor::qemu {

/// How long QEMU may take for an ordinary command.
inline constexpr Milliseconds kQmpLimit{10'000};

/// A client of QEMU's monitor. Used from one loop. Commands may be under way at the same time; a command that
/// still waits when the connection ends, or when the client is destroyed, fails with Code::unavailable.
class QmpClient {
 public:
  /// Called from the loop for each event, in order; must not destroy the client.
  using EventHandler = std::function<void(const QmpEvent&)>;

  QmpClient(const asio::any_io_executor& executor, UniqueFd socket, EventHandler on_event);
  QmpClient(QmpClient&&) noexcept;
  ~QmpClient();

  /// Waits for the greeting and leaves negotiation mode; before any command. Throws timeout, unavailable,
  /// corrupt.
  Task<> negotiate(Milliseconds limit);

  /// What the command returned. Throws Error with QEMU's description when it failed, Code::timeout past
  /// `limit`.
  Task<boost::json::value> execute(std::string command, boost::json::object arguments = {},
                                   Milliseconds limit = kQmpLimit);
  /// The same for a command that takes a descriptor: add-fd, getfd. One such command at a time.
  Task<boost::json::value> execute_with(UniqueFd descriptor, std::string command,
                                        boost::json::object arguments = {}, Milliseconds limit = kQmpLimit);

  /// Waits until the connection has ended and all that came before was handled. False past `limit`.
  Task<bool> wait_closed(Milliseconds limit);

  bool is_closed() const;

  /// From the greeting.
  const std::string& version() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::hypervisor::qemu
