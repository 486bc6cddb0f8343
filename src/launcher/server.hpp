#pragma once

#include <filesystem>

#include "base/async.hpp"
#include "launcher/launcher.hpp"

namespace berth::launcher {

/// The launcher's HTTP interface (docs/launcher-api.md) on a unix socket in the pod's runtime folder.
class Server {
 public:
  /// Listens at `socket`, which only this user can reach; the folder must exist and the name be free.
  Server(const asio::any_io_executor& executor, Launcher& launcher, const std::filesystem::path& socket);
  ~Server();

  /// Accepts clients until the loop ends.
  Task<> accept_clients();
  /// Serves a client that is connected already.
  void serve(UniqueFd client, bool is_first);
  /// Waits until every client that was accepted has its answer or is gone, at most `limit`.
  Task<> wait_idle(Milliseconds limit);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::launcher
