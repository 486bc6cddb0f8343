#include "cli/container_text.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/ids.hpp"
#include "base/text.hpp"

namespace berth::cli {
namespace {

/// The first `count` characters, counted as UTF-8.
std::string ellipsis(const std::string& text, std::size_t count) {
  std::size_t characters = 0;
  std::size_t cut = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (begins && ++characters == count) cut = i;
  }
  return characters > count ? text.substr(0, cut) + "…" : text;
}

}  // namespace

std::string_view state_text(record::Status status) {
  switch (status) {
    case record::Status::created:
    case record::Status::starting:
      return "created";
    case record::Status::running:
    case record::Status::stopping:
      return "running";
    case record::Status::paused:
      return "paused";
    case record::Status::restarting:
      return "restarting";
    case record::Status::exited:
      return "exited";
    case record::Status::removing:
      return "removing";
  }
  return "unknown";
}

std::string age_text(std::int64_t then, Nanoseconds now) {
  return describe_duration(std::max(now - Nanoseconds(then), Nanoseconds(0))) + " ago";
}

std::string status_text(const record::Host& host, Nanoseconds now) {
  const std::string_view state = state_text(host.status);
  if (state == "running" || state == "paused") {
    const std::string up =
        "Up " + describe_duration(std::max(now - Nanoseconds(host.started), Nanoseconds(0)));
    return state == "paused" ? up + " (Paused)" : up;
  }
  if (state == "restarting") {
    return fmt::format("Restarting ({}) {}", host.exit_code, age_text(host.finished, now));
  }
  if (state == "exited") return fmt::format("Exited ({}) {}", host.exit_code, age_text(host.finished, now));
  return state == "created" ? "Created" : "Removal In Progress";
}

std::string command_text(const std::vector<std::string>& command, bool whole) {
  constexpr std::size_t kShown = 20;
  const std::string text = printable(join(command, " "));
  return '"' + (whole ? text : ellipsis(text, kShown)) + '"';
}

std::string image_id_text(std::string_view id, bool whole) {
  if (whole) return std::string(id);
  constexpr std::string_view kAlgorithm = "sha256:";
  if (id.starts_with(kAlgorithm)) id.remove_prefix(kAlgorithm.size());
  return short_id(id);
}

}  // namespace berth::cli
