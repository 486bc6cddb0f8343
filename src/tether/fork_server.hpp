#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/async.hpp"
#include "base/unique_fd.hpp"

namespace berth::tether {

/// The socket by which a process in a container asks for copies of its machine (docs/fork.md). The process
/// waits on its connection, which each copy of the machine has as well, until its machine's host answers.
class ForkServer : public std::enable_shared_from_this<ForkServer> {
 public:
  /// `on_change` hears how many copies are asked for; 0 when nobody waits any more.
  using OnChange = std::function<void(std::int64_t count)>;

  ForkServer(const asio::any_io_executor& executor, OnChange on_change);

  /// Listens at `path`, where anybody may connect, for good.
  void listen(const std::string& path);
  bool listening() const { return listening_; }

  /// Copies that may be asked for in all.
  void set_limit(std::int64_t limit) { limit_ = limit; }
  /// The machine is a copy: what was asked for before counts no more. Who waits goes on waiting.
  void note_copy() { used_ = 0; }

  /// Answers who waits, if anybody does, that no copy was made for it.
  void give_up();

  /// Answers who waits with a line. Throws wrong-state when nobody does, invalid-argument for what is no
  /// line.
  void answer(std::string line);

 private:
  Task<> accept(UniqueFd socket);
  Task<> serve(UniqueFd connection);
  Task<std::string> reply_to(std::string line);
  Task<std::string> ask(std::int64_t count);

  asio::any_io_executor executor_;
  OnChange on_change_;
  bool listening_ = false;
  std::size_t clients_ = 0;
  std::int64_t limit_ = 0;
  std::int64_t used_ = 0;
  bool asking_ = false;
  std::optional<std::string> answer_;
  Event answered_;
};

/// The number of copies of "fork N". Throws invalid-argument.
std::int64_t parse_fork_request(std::string_view line);

}  // namespace berth::tether
