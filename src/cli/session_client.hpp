#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/engine.hpp"

namespace berth::cli {

struct SessionOptions {
  /// The user's descriptors.
  int input = 0;
  int output = 1;
  int error = 2;

  /// Read input and pass it on. With a session that has a terminal, `input` is put in raw mode when it is one
  /// itself.
  bool with_input = false;
  /// Pass signals on instead of ending by them; never with a terminal, whose keys go through.
  bool proxy_signals = true;
  /// Passes a signal on beside the stream, where it would wait behind input that nobody reads. False: it goes
  /// by the stream after all.
  std::function<bool(int)> pass_signal;
  /// The bytes that detach (parse_detach_keys); only with a terminal.
  std::string detach_keys;
};

/// Why a client has let go of a session.
struct SessionEnd {
  enum class Reason { exited, detached, interrupted };
  Reason reason = Reason::exited;
  launcher::Exit exit;  ///< of the session, when it exited
  int signal = 0;       ///< that interrupted the client
};

/// Connects the user's descriptors with a session until it ends, the user detaches or a signal comes that is
/// not passed on. All output has been written when this returns. Memory is bounded: a reader of the output
/// that stops makes this read no more frames, and a session that reads no input makes this read no more of
/// it; neither stalls the other. Throws the Error the launcher sent, unavailable when the launcher went away,
/// and what writing the output gave.
SessionEnd run_session(engine::Attachment attachment, const SessionOptions& options);

/// For a session that starts with its client: its terminal has the client's window size from the first
/// moment.
engine::AttachOptions start_options(const SessionOptions& options);

/// Waits until the session's process runs and lets go of it: nothing then, or how it ended without ever
/// having run. Throws as run_session.
std::optional<launcher::Exit> wait_started(engine::Attachment attachment);

/// The exit status for a session's end. Says on standard error why it never ran, and ends this process the
/// way a signal that interrupted it would have.
int exit_status(const SessionEnd& end);
int exit_status(const launcher::Exit& exit);

}  // namespace berth::cli
