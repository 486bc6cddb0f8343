#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/async.hpp"
#include "tether/session/session.hpp"

namespace berth::tether {

/// The names of an attach channel, which is a session channel with this subsystem and these variables.
inline constexpr std::string_view kAttachSubsystem = "berth.attach";
inline constexpr std::string_view kAttachSession = "BERTH_SESSION";  ///< the session's id
inline constexpr std::string_view kAttachStreams = "BERTH_STREAMS";  ///< see parse_attached_streams

/// "stdin" (or nothing) or "stdin,stdout,stderr"; throws invalid-argument for anything else.
AttachedStreams parse_attached_streams(std::string_view text);

/// What the server asks for whenever it needs it.
struct AttachSource {
  std::function<std::string()> host_key;  ///< PEM
  std::function<std::vector<std::string>()> authorized_keys;
  std::function<std::shared_ptr<Session>(const std::string& id)> find_session;  ///< throws not-found
};

/// Serves SSH on the attach port, one connection after the other, for good. Nothing is done before a client's
/// first byte.
Task<> serve_attach(UniqueFd port, AttachSource source);

}  // namespace berth::tether
