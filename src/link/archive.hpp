#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "describe/describe.hpp"
#include "link/ssh.hpp"

/// Copies into and out of a container's files: a session channel with this subsystem and these variables.
/// Data on its standard streams, at the end an exit code. With 0, standard error is what was left out, a
/// line each; with 1 it is the code of an Error, a line feed and its message.
namespace berth::link::archive {

inline constexpr std::string_view kSubsystem = "berth.archive";
inline constexpr std::string_view kContainer = "BERTH_CONTAINER";  ///< id of its main session
inline constexpr std::string_view kVerb = "BERTH_VERB";
inline constexpr std::string_view kPath = "BERTH_PATH";
inline constexpr std::string_view kOwners = "BERTH_OWNERS";  ///< of write: "archive", otherwise root's

/// Most bytes of standard error, and of the line with a PathStat.
inline constexpr std::size_t kAnswerLimit = 32u << 10;
inline constexpr std::size_t kPathLimit = 4096;

enum class Verb {
  stat,   ///< answers with a line: JSON of a PathStat
  read,   ///< the same line, then a tar stream
  write,  ///< takes a tar stream and unpacks it into the folder that the path is
};

struct Order {
  Verb verb = Verb::stat;
  std::string container;
  /// Below the container's root. With "/" or "/." at its end it must be a folder, also by a link; with "/."
  /// what is in the folder is meant.
  std::string path;
  bool keep_owners = false;  ///< of write: those of the archive
};

/// What a path in a container is.
struct PathStat {
  std::uint32_t mode = 0;  ///< st_mode of stat(2), a link not followed
  std::int64_t size = 0;
  std::int64_t modified = 0;    ///< nanoseconds since 1970-01-01 UTC
  describe::Bytes link_target;  ///< of a link: the path it leads to in the end, from the container's root
  bool operator==(const PathStat&) const = default;
};

constexpr auto describe(const PathStat*) {
  using namespace berth::describe;
  return fields(field<&PathStat::mode>("Mode"), field<&PathStat::size>("Size"),
                field<&PathStat::modified>("Modified"), field<&PathStat::link_target>("LinkTarget"));
}

std::string_view to_string(Verb verb);
/// Throws invalid-argument.
Verb verb_from_string(std::string_view text);

ssh::Request make_request(const Order& order);
/// Throws invalid-argument for what make_request cannot have made.
Order parse_request(const ssh::Request& request);

/// One line.
std::string encode(const PathStat& stat);
/// Of foreign text; throws corrupt.
PathStat decode_path_stat(std::string_view line);

}  // namespace berth::link::archive
