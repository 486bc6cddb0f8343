#include "tether/output_port.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "base/io.hpp"

namespace berth::tether {
namespace {

Task<> write_records(OutputPort& port, std::uint16_t session, char fill, int count, int& written) {
  OutputFrame frame;
  for (int i = 0; i < count; ++i) {
    std::memset(frame.payload(), fill, OutputFrame::kPayload);
    co_await port.write(link::OutputKind::standard_output, session, frame, OutputFrame::kPayload);
    ++written;
  }
}

TEST(OutputPort, WaitsForItsReaderAndKeepsRecordsWhole) {
  asio::io_context loop;
  auto [host, guest] = make_socket_pair();
  const ManualClock clock(Nanoseconds(42));
  OutputPort port(std::move(guest), loop.get_executor(), clock);
  int first = 0;
  int second = 0;
  asio::co_spawn(loop, write_records(port, 1, 'a', 20, first), asio::detached);
  asio::co_spawn(loop, write_records(port, 2, 'b', 20, second), asio::detached);
  loop.poll();
  EXPECT_LT(first + second, 40);

  link::OutputParser parser;
  std::map<std::uint16_t, std::string> received;
  std::string buffer(100'000, '\0');
  set_nonblocking(host.get());
  while (first + second < 40 || received[1].size() + received[2].size() < 40 * OutputFrame::kPayload) {
    const ssize_t n = ::read(host.get(), buffer.data(), buffer.size());
    if (n > 0) {
      parser.feed({buffer.data(), static_cast<std::size_t>(n)}, [&](link::OutputRecord&& record) {
        EXPECT_EQ(record.time, Nanoseconds(42));
        received[record.session] += record.payload;
      });
    }
    loop.poll();
  }
  EXPECT_EQ(received[1], std::string(20 * OutputFrame::kPayload, 'a'));
  EXPECT_EQ(received[2], std::string(20 * OutputFrame::kPayload, 'b'));
}

TEST(OutputPort, TakesTurns) {
  asio::io_context loop;
  auto [host, guest] = make_socket_pair();
  const ManualClock clock;
  OutputPort port(std::move(guest), loop.get_executor(), clock);
  int first = 0;
  int second = 0;
  asio::co_spawn(loop, write_records(port, 1, 'a', 100, first), asio::detached);
  asio::co_spawn(loop, write_records(port, 2, 'b', 100, second), asio::detached);
  std::string buffer(100'000, '\0');
  set_nonblocking(host.get());
  for (int round = 0; round < 1000 && first < 50; ++round) {
    while (::read(host.get(), buffer.data(), buffer.size()) > 0) continue;
    loop.poll();
  }
  EXPECT_GE(first, 50);
  EXPECT_NEAR(first, second, 2);
}

}  // namespace
}  // namespace berth::tether
