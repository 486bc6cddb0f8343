#include "tether/extensions/attach_server.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace berth::tether {
namespace {

TEST(AttachedStreams, AreInputOrAll) {
  EXPECT_EQ(parse_attached_streams(""), AttachedStreams::input);
  EXPECT_EQ(parse_attached_streams("stdin"), AttachedStreams::input);
  EXPECT_EQ(parse_attached_streams("stdin,stdout,stderr"), AttachedStreams::all);
  EXPECT_THROW(parse_attached_streams("stdout"), Error);
}

}  // namespace
}  // namespace berth::tether
