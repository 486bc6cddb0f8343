#include "config/ulimits.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/error.hpp"

namespace berth::config {
namespace {

TEST(Ulimits, AreReadAsDockerWritesThem) {
  EXPECT_EQ(parse_ulimit("nofile=1024:2048"), (Ulimit{"nofile", 1024, 2048}));
  EXPECT_EQ(parse_ulimit("nproc=7"), (Ulimit{"nproc", 7, 7}));
  EXPECT_EQ(parse_ulimit("core=0:-1"), (Ulimit{"core", 0, -1}));
  EXPECT_EQ(parse_ulimit("memlock=-1"), (Ulimit{"memlock", -1, -1}));
  EXPECT_EQ(ulimit_resource("stack"), RLIMIT_STACK);
}

TEST(Ulimits, RefuseWhatCannotBe) {
  for (const char* text :
       {"", "nofile", "nofile=", "nofile=x", "nofile=1:", "nofile=1:2:3", "nofile=5:4", "nofile=-1:4",
        "nofile=-2", "NOFILE=1", "=1", "files=1", "nofile=99999999999999999999"}) {
    EXPECT_THROW(parse_ulimit(text), Error) << text;
  }
}

}  // namespace
}  // namespace berth::config
