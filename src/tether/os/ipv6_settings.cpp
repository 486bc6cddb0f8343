#include "tether/os/ipv6_settings.hpp"

#include <net/if.h>

#include <array>

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

void withhold_link_local_address(const std::string& interface) {
  set(interface, "addr_gen_mode", "1");
}

Task<> give_link_local_address(unsigned interface) {
  constexpr Milliseconds kCarrierDelay{1'000};
  co_await sleep_for(kCarrierDelay);
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(interface, name.data()) != nullptr) set(name.data(), "addr_gen_mode", "0");
}

}  // namespace berth::tether::os
