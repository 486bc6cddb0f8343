#include "cli/ports.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::cli {
namespace {

using record::PortBinding;
using record::Protocol;

std::string show(std::string_view text) {
  std::string shown;
  for (const PortBinding& port : parse_publish(text)) {
    shown += fmt::format("{}{}->{}/{}", shown.empty() ? "" : " ", host_endpoint(port), port.guest_port,
                         to_string(port.protocol));
  }
  return shown;
}

TEST(ParsePublish, UnderstandsEveryForm) {
  EXPECT_EQ(show("8080:80"), "0.0.0.0:8080->80/tcp");
  EXPECT_EQ(show("53:53/udp"), "0.0.0.0:53->53/udp");
  EXPECT_EQ(show("127.0.0.1:8080:80/tcp"), "127.0.0.1:8080->80/tcp");
  EXPECT_EQ(show("80"), "0.0.0.0:0->80/tcp");
  EXPECT_EQ(show("127.0.0.1::80"), "127.0.0.1:0->80/tcp");
  EXPECT_EQ(show("[::1]:8080:80"), "[::1]:8080->80/tcp");
  EXPECT_EQ(show("8000-8002:80-82"), "0.0.0.0:8000->80/tcp 0.0.0.0:8001->81/tcp 0.0.0.0:8002->82/tcp");
  EXPECT_EQ(show("7000-7001/udp"), "0.0.0.0:0->7000/udp 0.0.0.0:0->7001/udp");
}

TEST(ParsePublish, RefusesWhatCannotBe) {
  for (const char* text : {"", ":", "80:", ":80", "a:80", "0:80", "80:65536", "80:80/sctp", "80/", "1-2:1-3",
                           "5-4:5-4", "localhost:80:80", "1.2.3:80:80", "[::1:80:80", "1-2000:1-2000",
                           "-80:80", "80:80:80:80", "8 :80", "80:+80"}) {
    EXPECT_THROW(parse_publish(text), Error) << text;
  }
}

TEST(ParsePublish, SaysWhatIsWrong) {
  try {
    parse_publish("99999:80");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "-p '99999:80': port '99999' must be a whole number from 1 to 65535; use "
                 "[[IP:]HOST:]GUEST[/tcp|udp]");
  }
}

TEST(DescribePorts, JoinsNeighbours) {
  std::vector<PortBinding> ports = parse_publish("8000-8002:80-82");
  ports.push_back(
      {.host_address = "127.0.0.1", .host_port = 53, .guest_port = 5353, .protocol = Protocol::udp});
  EXPECT_EQ(describe_ports(ports), "0.0.0.0:8000-8002->80-82/tcp, 127.0.0.1:53->5353/udp");
  EXPECT_EQ(describe_ports({}), "");
}

}  // namespace
}  // namespace berth::cli
