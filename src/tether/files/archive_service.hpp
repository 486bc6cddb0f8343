#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "base/async.hpp"
#include "link/ssh.hpp"
#include "tether/files/copy_child.hpp"

namespace berth::tether {

/// Serves copies into and out of containers over SSH channels (link/archive.hpp), each in a child process.
class ArchiveService {
 public:
  /// Throws not-found.
  using FindPlace = std::function<CopyPlace(const std::string& container)>;

  ArchiveService(const asio::any_io_executor& executor, FindPlace find_place);

  /// Serves one channel to its end; a channel that the peer closes before ends the child. Failures are
  /// answered.
  Task<> serve(std::shared_ptr<link::ssh::Channel> channel, link::ssh::Request request);
  /// Ends all copies, and waits for that at most `limit`: nothing they had open is in use any more.
  Task<> end_all(Milliseconds limit);

 private:
  struct Copy;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace berth::tether
