#include "tether/os/ipv6_settings.hpp"

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"

namespace berth::tether::os {
namespace {

void set(const std::string& interface, const std::string& setting, const char* value) {
  try {
    write_kernel_file("/proc/sys/net/ipv6/conf/" + interface + "/" + setting, value);
  } catch (const Error& error) {
    log::warning("{}", error.what());
  }
}

}  // namespace

void ignore_router_advertisements(const std::string& interface) {
  set(interface, "accept_ra", "0");
}

void use_ipv6(const std::string& interface, bool used) {
  set(interface, "disable_ipv6", used ? "0" : "1");
}

}  // namespace berth::tether::os
