#include "config/ulimits.hpp"

#include <sys/resource.h>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::config {
namespace {

struct Resource {
  std::string_view name;
  int number;
};

constexpr Resource kResources[] = {{"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
                                   {"data", RLIMIT_DATA},         {"fsize", RLIMIT_FSIZE},
                                   {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
                                   {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
                                   {"nofile", RLIMIT_NOFILE},     {"nproc", RLIMIT_NPROC},
                                   {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
                                   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
                                   {"stack", RLIMIT_STACK}};

/// Unlimited is above every number.
bool is_above(std::int64_t a, std::int64_t b) {
  return b != -1 && (a == -1 || a > b);
}

}  // namespace

std::optional<int> ulimit_resource(std::string_view name) {
  for (const Resource& resource : kResources) {
    if (resource.name == name) return resource.number;
  }
  return std::nullopt;
}

void check_ulimit(const Ulimit& limit) {
  if (!ulimit_resource(limit.name)) {
    throw Error(Code::invalid_argument, "there is no limit \"{}\": use for example nofile or nproc",
                printable(limit.name));
  }
  if (limit.soft < -1 || limit.hard < -1 || is_above(limit.soft, limit.hard)) {
    throw Error(Code::invalid_argument, "the soft limit {} of {} is above the hard one, {}", limit.soft,
                limit.name, limit.hard);
  }
}

Ulimit parse_ulimit(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    throw Error(Code::invalid_argument, "--ulimit '{}': use NAME=SOFT[:HARD]", printable(text));
  }
  const auto number = [](std::string_view digits) {
    return parse_integer(digits, -1, INT64_MAX, "the limit");
  };
  const std::string_view values = text.substr(equals + 1);
  const std::size_t colon = values.find(':');
  Ulimit limit;
  limit.name = text.substr(0, equals);
  try {
    limit.soft = number(values.substr(0, colon));
    limit.hard = colon == std::string_view::npos ? limit.soft : number(values.substr(colon + 1));
    check_ulimit(limit);
  } catch (Error& error) {
    error.add_context(fmt::format("--ulimit '{}'", printable(text)));
    throw;
  }
  return limit;
}

}  // namespace berth::config
