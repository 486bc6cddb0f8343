#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "launcher/client.hpp"
#include "launcher/interaction.hpp"
#include "link/archive.hpp"
#include "tar/stream.hpp"

namespace berth::launcher {

/// One copy over a launcher's interface, blocking. What comes is the guest's: foreign.
class CopyStream {
 public:
  CopyStream(Client client, const CopyRequest& request);

  /// Of a stat or a read: what the path is. Called once and first.
  link::archive::PathStat path_stat();
  /// The next piece of a read; empty at its orderly end, which any other end is an Error instead.
  std::string_view next();
  /// Gives a piece of a write. Throws what made the copy end when it did.
  void send(std::string_view bytes);
  /// Nothing more will be sent; waits for the end.
  void finish();
  /// After the end: what the guest left out, lines.
  const std::string& warnings() const { return warnings_; }

 private:
  bool receive();
  bool send_frame(const std::string& frame);

  UpgradedStream stream_;
  FrameParser parser_;
  std::deque<std::string> pieces_;
  std::string piece_;
  std::string warnings_;
  bool ended_ = false;
};

}  // namespace berth::launcher
