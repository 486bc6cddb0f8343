#include "tether/os/arp.hpp"

#include <gtest/gtest.h>

#include "base/ids.hpp"

namespace berth::tether::os {
namespace {

using namespace std::string_literals;

TEST(ArpAnnouncement, AsksForItsOwnAddress) {
  const std::string packet = make_arp_announcement("\x52\x54\x00\xbe\x47\x01"s, "\x0a\x00\x02\x0f"s);
  EXPECT_EQ(to_hex(packet),
            "0001080006040001"
            "525400be4701"
            "0a00020f"
            "000000000000"
            "0a00020f");
}

}  // namespace
}  // namespace berth::tether::os
