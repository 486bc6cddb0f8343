#include "tether/os/uevent.hpp"

#include <gtest/gtest.h>

#include <string>

namespace berth::tether::os {
namespace {

using namespace std::string_view_literals;

TEST(Uevent, TellsOfADevice) {
  const auto event = parse_uevent(
      "add@/devices/pci0000:00/virtio3\0ACTION=add\0DEVPATH=/devices/pci0000:00/virtio3\0SUBSYSTEM=virtio\0"
      "MODALIAS=virtio:d00000018v00001AF4\0SEQNUM=9\0"sv);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action, "add");
  EXPECT_EQ(event->path, "/devices/pci0000:00/virtio3");
  EXPECT_EQ(event->subsystem, "virtio");
  EXPECT_EQ(event->modalias, "virtio:d00000018v00001AF4");
}

TEST(Uevent, MayBeCutShort) {
  for (const auto text : {"add@/x"sv, "add@/x\0"sv, "add@/x\0SUBSYSTEM"sv, "add@/x\0\0\0=\0"sv}) {
    const auto event = parse_uevent(text);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->path, "/x");
    EXPECT_EQ(event->subsystem, "");
  }
}

TEST(Uevent, IsNotWhatOthersSend) {
  for (const auto text : {""sv, "\0"sv, "libudev\0\xfe\xed"sv, "@/x"sv, "add@x"sv, "add"sv, "add@"sv})
    EXPECT_FALSE(parse_uevent(text));
  EXPECT_FALSE(parse_uevent("add@/" + std::string(kUeventLimit, 'x')));
}

}  // namespace
}  // namespace berth::tether::os
