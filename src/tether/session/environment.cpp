#include "tether/session/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace berth::tether {
namespace {

std::string_view name_of(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

}  // namespace

std::vector<std::string> make_environment(const std::vector<std::string>& configured,
                                          const EnvironmentDefaults& defaults) {
  std::vector<std::string> environment{fmt::format("PATH={}", kDefaultPath),
                                       fmt::format("HOSTNAME={}", defaults.hostname)};
  if (defaults.terminal) environment.emplace_back("TERM=xterm");
  environment.push_back(fmt::format("HOME={}", defaults.home));

  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < environment.size(); ++i) places.emplace(name_of(environment[i]), i);
  for (const std::string& entry : configured) {
    const std::string_view name = name_of(entry);
    if (name.empty() || name.size() == entry.size()) continue;
    const auto [place, added] = places.emplace(name, environment.size());
    if (added) {
      environment.push_back(entry);
    } else {
      environment[place->second] = entry;
    }
  }
  return environment;
}

std::string_view find_variable(const std::vector<std::string>& environment, std::string_view name) {
  const auto found = std::find_if(environment.begin(), environment.end(),
                                  [&](std::string_view entry) { return name_of(entry) == name; });
  if (found == environment.end()) return {};
  return std::string_view(*found).substr(std::min(name.size() + 1, found->size()));
}

}  // namespace berth::tether
