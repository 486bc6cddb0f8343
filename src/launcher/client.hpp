#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/process.hpp"
#include "base/unique_fd.hpp"
#include "launcher/launcher.hpp"
#include "launcher/paths.hpp"

namespace berth::launcher {

/// A connection that was upgraded to frames, or to plain bytes.
struct UpgradedStream {
  UniqueFd stream;
  std::string early;  ///< bytes that came with the answer: the stream's first
};

/// Talks to one pod's launcher over its socket; blocking. Errors of the launcher are thrown with their code;
/// Code::unavailable when there is none.
class Client {
 public:
  Client(const Paths& paths, std::string id);

  /// Body of the answer. `limit` zero: as long as it takes.
  std::string request(const std::string& target, std::chrono::seconds limit, const std::string& body = "{}");
  UpgradedStream open_stream(const std::string& target, const std::string& body = "{}");
  /// A connection into the pod that carries plain bytes.
  UpgradedStream open_bytes(const std::string& target);

  /// Waits until copies can be made; while the connection that it returns is open, they can. Throws
  /// unavailable when there is no launcher or it is about to end.
  UniqueFd hold_files();
  static UniqueFd hold_files_on(UniqueFd connection);

  /// As request and open_stream, on a connection that exists.
  static std::string request_on(UniqueFd connection, const std::string& target, std::chrono::seconds limit,
                                const std::string& body = "{}");
  static UpgradedStream open_stream_on(UniqueFd connection, const std::string& target,
                                       const std::string& body = "{}");

 private:
  UniqueFd connect();
  Paths paths_;
  std::string id_;
};

/// A request that has been sent; many launchers can be at work on theirs at the same time.
class PendingRequest {
 public:
  /// On a connection that exists; `limit` is that of answer(). Throws unavailable.
  PendingRequest(UniqueFd connection, const std::string& target, std::chrono::seconds limit);
  PendingRequest(PendingRequest&&) noexcept;
  ~PendingRequest();
  /// Body of the answer; once. Throws as Client::request.
  std::string answer();

 private:
  class Exchange;
  std::unique_ptr<Exchange> exchange_;
};

UsageReport parse_usage(std::string_view body);

}  // namespace berth::launcher
