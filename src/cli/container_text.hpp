#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "record/pod.hpp"

namespace berth::cli {

/// Docker's word for a state: "created", "running", "paused", "restarting", "exited", "removing".
std::string_view state_text(record::Status status);
/// "Up 3 minutes", "Restarting (1) 2 seconds ago", "Exited (0) 2 hours ago", "Created".
std::string status_text(const record::Host& host, Nanoseconds now);
/// "2 hours ago".
std::string age_text(std::int64_t then, Nanoseconds now);
/// In double quotes, and unless `whole` cut to twenty characters.
std::string command_text(const std::vector<std::string>& command, bool whole);
/// The twelve digits of an image's id or all of it, "sha256:" included.
std::string image_id_text(std::string_view id, bool whole);

}  // namespace berth::cli
