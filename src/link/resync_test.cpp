#include "link/resync.hpp"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/error.hpp"
#include "base/io.hpp"

namespace berth::link {
namespace {

constexpr const char* kToken = "abab";

/// What skip_past_token makes of these pieces: nothing, or its error.
std::string skip(std::vector<std::string> pieces, bool end_after) {
  asio::io_context loop;
  auto [near_end, far_end] = make_socket_pair();
  Stream reader(loop.get_executor(), std::move(near_end));
  Stream writer(loop.get_executor(), std::move(far_end));
  std::string outcome = "still waits";
  asio::co_spawn(
      loop, [](Stream& port) -> Task<> { co_await skip_past_token(port, kToken); }(reader),
      [&](std::exception_ptr failure) {
        try {
          outcome = "";
          if (failure) std::rethrow_exception(failure);
        } catch (const Error& error) {
          outcome = error.message();
        }
      });
  for (const std::string& piece : pieces) {
    write_all(writer.fd(), piece);
    loop.run_for(Milliseconds(1));
    loop.restart();
  }
  if (end_after) writer.close();
  loop.run_for(Milliseconds(50));
  return outcome;
}

TEST(Resync, SkipsWhatComesBeforeTheToken) {
  EXPECT_EQ(skip({"abab\n"}, false), "");
  EXPECT_EQ(skip({std::string(10'000, 'x') + "abab\n"}, false), "");
  EXPECT_EQ(skip({"ababab\n"}, false), "");
  EXPECT_EQ(skip({"ab", "ab", "\n"}, false), "");
  EXPECT_EQ(skip({"aba\nabab", "\n"}, false), "");
}

TEST(Resync, WaitsForTheWholeToken) {
  EXPECT_EQ(skip({"abab"}, false), "still waits");
  EXPECT_EQ(skip({"abab\r\n"}, false), "still waits");
}

TEST(Resync, RefusesWhatFollowsAtOnceAndAnEnd) {
  EXPECT_EQ(skip({"abab\nSSH-2.0"}, false), "the attach port goes on before both ends have met");
  EXPECT_EQ(skip({"abab"}, true), "the attach port ended");
}

}  // namespace
}  // namespace berth::link
