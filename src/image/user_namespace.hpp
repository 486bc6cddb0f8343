#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::image {

/// A range of a user's subordinate ids, subuid(5).
struct SubordinateRange {
  std::uint32_t start = 0;
  std::uint32_t count = 0;
};

/// The ranges that the text of /etc/subuid or /etc/subgid gives to a user, by name or number; bad lines are
/// skipped.
std::vector<SubordinateRange> parse_subordinate_ids(std::string_view text, std::string_view user, uid_t uid);

/// Maps id 0 of the user namespace that process `pid`, a child of this one, is in to the caller, and 1
/// upwards to the caller's subordinate ids, by newuidmap and newgidmap. Throws unavailable and says what to
/// install or to run.
void map_user_namespace(pid_t pid, std::chrono::milliseconds limit);

/// The child's half: enters a user namespace of its own, writes "R" to `report` and waits for a byte from
/// `go`, which says that its ids are mapped. The child gets SIGKILL when its parent ends. Throws unavailable.
void enter_user_namespace(int report, int go);

}  // namespace berth::image
