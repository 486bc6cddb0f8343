#include "launcher/http.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace berth::launcher {
namespace {

std::optional<Code> refusal(std::string_view body) {
  try {
    parse_update(body);
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST(UpdateBody, IsReadAsItIsWritten) {
  UpdateRequest request;
  EXPECT_EQ(parse_update(format_update(request)).cpus, std::nullopt);
  EXPECT_EQ(parse_update(format_update(request)).memory_bytes, std::nullopt);
  request.cpus = 1.5;
  request.memory_bytes = std::uint64_t{1} << 40;
  EXPECT_EQ(parse_update(format_update(request)).cpus, 1.5);
  EXPECT_EQ(parse_update(format_update(request)).memory_bytes, std::uint64_t{1} << 40);
}

TEST(UpdateBody, IsRefusedWhenItIsNone) {
  for (const char* body :
       {"", "1", "{\"cpus\": 0}", "{\"cpus\": -1}", "{\"cpus\": 1e9}", "{\"cpus\": \"2\"}",
        "{\"memory_bytes\": -1}", "{\"memory_bytes\": 1.5}", "{\"memory_bytes\": \"1g\"}"}) {
    EXPECT_EQ(refusal(body), Code::invalid_argument) << body;
  }
}

}  // namespace
}  // namespace berth::launcher
