#include "config/sysctls.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::config {
namespace {

constexpr std::string_view kNames[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                       "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                       "kernel.shmmni", "kernel.shm_rmid_forced"};
constexpr std::string_view kPrefixes[] = {"net.", "fs.mqueue."};
constexpr std::size_t kLongest = 256;

/// What becomes a path below /proc/sys and cannot leave it.
bool is_well_formed(std::string_view name) {
  const auto is_fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  };
  return name.size() <= kLongest && std::all_of(name.begin(), name.end(), is_fine) &&
         name.find("..") == std::string_view::npos && !name.ends_with('.');
}

}  // namespace

void check_sysctl(std::string_view name) {
  const auto begins_it = [&](std::string_view prefix) { return name.starts_with(prefix); };
  const bool known = std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
                     std::any_of(std::begin(kPrefixes), std::end(kPrefixes), begins_it);
  if (known && is_well_formed(name)) return;
  throw Error(
      Code::invalid_argument,
      "sysctl '{}' is not allowed: there are net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm*",
      printable(name));
}

}  // namespace berth::config
