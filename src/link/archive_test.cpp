#include "link/archive.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::link::archive {
namespace {

TEST(Archive, AnOrderSurvivesItsRequest) {
  const Order orders[] = {{Verb::stat, "c", "/a b/\xff", false}, {Verb::write, "c", "/", true}};
  for (const Order& order : orders) {
    const Order read = parse_request(make_request(order));
    EXPECT_EQ(read.verb, order.verb);
    EXPECT_EQ(read.container, order.container);
    EXPECT_EQ(read.path, order.path);
    EXPECT_EQ(read.keep_owners, order.keep_owners);
  }
}

TEST(Archive, RefusesWhatIsNoOrder) {
  EXPECT_THROW(parse_request({}), Error);
  ssh::Request request = make_request({Verb::read, "c", "/", false});
  request.environment[std::string(kPath)] = std::string(kPathLimit + 1, 'x');
  EXPECT_THROW(parse_request(request), Error);
}

TEST(Archive, AStatSurvivesItsLine) {
  PathStat stat;
  stat.mode = 0120777;
  stat.size = 1ll << 40;
  stat.modified = 1'600'000'000'123'456'789;
  stat.link_target = {"/x\xff\n"};
  const std::string line = encode(stat);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(decode_path_stat(line), stat);
  EXPECT_THROW(decode_path_stat("[]"), Error);
  EXPECT_THROW(decode_path_stat(R"({"mode":-1})"), Error);
}

}  // namespace
}  // namespace berth::link::archive
