#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::tether {

/// Docker's value when the image sets none.
inline constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct EnvironmentDefaults {
  std::string_view hostname;
  std::string_view home;
  bool terminal = false;
};

/// The configured NAME=VALUE entries, the last one of a name winning in the place of the first, with Docker's
/// PATH, HOSTNAME, TERM and HOME in front where they are not configured. Entries without a name are left out.
std::vector<std::string> make_environment(const std::vector<std::string>& configured,
                                          const EnvironmentDefaults& defaults);

/// The value of NAME in `environment`, or an empty text.
std::string_view find_variable(const std::vector<std::string>& environment, std::string_view name);

}  // namespace berth::tether
