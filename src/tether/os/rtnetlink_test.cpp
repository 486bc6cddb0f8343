#include "tether/os/rtnetlink.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "base/io.hpp"
#include "base/text.hpp"

namespace berth::tether::os {
namespace {

TEST(Rtnetlink, ListsTheInterfacesThatThereAre) {
  std::set<std::string> listed;
  for (const Link& link : Rtnetlink().links()) {
    listed.insert(link.name);
    const std::filesystem::path shown = "/sys/class/net/" + link.name;
    EXPECT_EQ(std::to_string(link.interface), trim(read_file(shown / "ifindex")));
    EXPECT_EQ(std::to_string(link.mtu), trim(read_file(shown / "mtu")));
    std::string address;
    for (const char byte : link.hardware_address)
      address += fmt::format("{}{:02x}", address.empty() ? "" : ":", static_cast<unsigned char>(byte));
    EXPECT_EQ(address, trim(read_file(shown / "address")));
  }
  EXPECT_TRUE(listed.contains("lo"));
}

}  // namespace
}  // namespace berth::tether::os
