#include "config/capabilities.hpp"

#include <linux/capability.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/error.hpp"
#include "base/text.hpp"

namespace berth::config {
namespace {

constexpr std::array<std::string_view, CAP_LAST_CAP + 1> kNames{"CHOWN",
                                                                "DAC_OVERRIDE",
                                                                "DAC_READ_SEARCH",
                                                                "FOWNER",
                                                                "FSETID",
                                                                "KILL",
                                                                "SETGID",
                                                                "SETUID",
                                                                "SETPCAP",
                                                                "LINUX_IMMUTABLE",
                                                                "NET_BIND_SERVICE",
                                                                "NET_BROADCAST",
                                                                "NET_ADMIN",
                                                                "NET_RAW",
                                                                "IPC_LOCK",
                                                                "IPC_OWNER",
                                                                "SYS_MODULE",
                                                                "SYS_RAWIO",
                                                                "SYS_CHROOT",
                                                                "SYS_PTRACE",
                                                                "SYS_PACCT",
                                                                "SYS_ADMIN",
                                                                "SYS_BOOT",
                                                                "SYS_NICE",
                                                                "SYS_RESOURCE",
                                                                "SYS_TIME",
                                                                "SYS_TTY_CONFIG",
                                                                "MKNOD",
                                                                "LEASE",
                                                                "AUDIT_WRITE",
                                                                "AUDIT_CONTROL",
                                                                "SETFCAP",
                                                                "MAC_OVERRIDE",
                                                                "MAC_ADMIN",
                                                                "SYSLOG",
                                                                "WAKE_ALARM",
                                                                "BLOCK_SUSPEND",
                                                                "AUDIT_READ",
                                                                "PERFMON",
                                                                "BPF",
                                                                "CHECKPOINT_RESTORE"};

constexpr CapabilitySet kAll = (CapabilitySet{1} << kNames.size()) - 1;

constexpr CapabilitySet bit(int number) {
  return CapabilitySet{1} << number;
}

std::string bare_name(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper.starts_with("CAP_") ? upper.substr(4) : upper;
}

int capability_number(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), bare_name(name));
  if (found == kNames.end()) {
    throw Error(Code::invalid_argument, "there is no capability \"{}\"", printable(name));
  }
  return static_cast<int>(found - kNames.begin());
}

/// Takes ALL out of the names; true when it was among them.
bool take_all(std::vector<std::string>& names) {
  return std::erase_if(names, [](const std::string& name) { return bare_name(name) == "ALL"; }) > 0;
}

}  // namespace

CapabilitySet default_capabilities() {
  return bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FSETID) | bit(CAP_FOWNER) | bit(CAP_MKNOD) |
         bit(CAP_NET_RAW) | bit(CAP_SETGID) | bit(CAP_SETUID) | bit(CAP_SETFCAP) | bit(CAP_SETPCAP) |
         bit(CAP_NET_BIND_SERVICE) | bit(CAP_SYS_CHROOT) | bit(CAP_KILL) | bit(CAP_AUDIT_WRITE);
}

CapabilitySet parse_capabilities(const std::vector<std::string>& names) {
  CapabilitySet set = 0;
  for (const std::string& name : names) set |= bit(capability_number(name));
  return set;
}

std::vector<std::string> capability_names(CapabilitySet set) {
  std::vector<std::string> names;
  for (std::size_t number = 0; number < kNames.size(); ++number) {
    if ((set & bit(static_cast<int>(number))) != 0) names.push_back("CAP_" + std::string(kNames[number]));
  }
  return names;
}

CapabilitySet adjust_default_capabilities(const std::vector<std::string>& added,
                                          const std::vector<std::string>& dropped) {
  std::vector<std::string> more = added;
  std::vector<std::string> fewer = dropped;
  const bool add_all = take_all(more);
  const bool drop_all = take_all(fewer);
  const CapabilitySet plus = parse_capabilities(more);
  const CapabilitySet minus = parse_capabilities(fewer);
  if (add_all) return kAll & ~minus;
  if (drop_all) return plus;
  return (default_capabilities() & ~minus) | plus;
}

}  // namespace berth::config
