#include "tether/os/interfaces.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.hpp"
#include "base/io.hpp"
#include "base/text.hpp"
#include "tether/os/network_plan.hpp"

namespace berth::tether::os {

bool interface_exists(const std::string& name) {
  return ::if_nametoindex(name.c_str()) != 0;
}

bool interface_exists(unsigned index) {
  std::array<char, IF_NAMESIZE> name{};
  return ::if_indextoname(index, name.data()) != nullptr;
}

std::uint64_t read_counter(const std::filesystem::path& path) {
  std::array<char, 32> text{};
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t n = file ? ::read(file.get(), text.data(), text.size()) : -1;
  std::uint64_t value = 0;
  if (n > 0) std::from_chars(text.data(), text.data() + n, value);
  return value;
}

dhcp::Mac parse_mac(std::string_view text) {
  dhcp::Mac mac{};
  for (std::size_t i = 0; i < mac.size(); ++i)
    std::from_chars(text.data() + i * 3, text.data() + i * 3 + 2, mac[i], 16);
  return mac;
}

dhcp::Mac mac_of(const Link& link) {
  dhcp::Mac mac{};
  if (link.hardware_address.size() != mac.size())
    throw Error(Code::unsupported, "{} is no Ethernet card", link.name);
  std::copy(link.hardware_address.begin(), link.hardware_address.end(), mac.begin());
  return mac;
}

std::string_view bytes_of(const dhcp::Mac& mac) {
  return {reinterpret_cast<const char*>(mac.data()), mac.size()};
}

void take_driver_away(const std::string& name) {
  const auto device = std::filesystem::canonical("/sys/class/net/" + name + "/device");
  write_kernel_file(device / "driver/unbind", device.filename().string());
}

}  // namespace berth::tether::os
