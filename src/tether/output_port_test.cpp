#include "tether/output_port.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

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

TEST(OutputPort, HoldsBackWhatComesAfterAMark) {
  asio::io_context loop;
  auto [host, guest] = make_socket_pair();
  const ManualClock clock;
  OutputPort port(std::move(guest), loop.get_executor(), clock);
  int written = 0;
  const auto write = [&] {
    asio::co_spawn(loop, write_records(port, 1, 'a', 1, written), asio::detached);
    loop.restart();
    loop.poll();
  };
  write();
  asio::co_spawn(loop, port.mark("token"), asio::detached);
  write();
  EXPECT_EQ(written, 1);
  EXPECT_FALSE(port.all_written());
  port.put_first(link::encode_output_header(link::OutputKind::open, 1, Nanoseconds(0), 4) + "name");
  port.release();
  write();
  EXPECT_EQ(written, 3);
  EXPECT_TRUE(port.all_written());

  using link::OutputKind;
  std::vector<OutputKind> kinds;
  std::string buffer(1u << 20, '\0');
  const ssize_t n = ::read(host.get(), buffer.data(), buffer.size());
  link::OutputParser().feed({buffer.data(), static_cast<std::size_t>(n)},
                            [&](link::OutputRecord&& record) { kinds.push_back(record.kind); });
  EXPECT_EQ(kinds, std::vector<OutputKind>({OutputKind::standard_output, OutputKind::mark, OutputKind::open,
                                            OutputKind::standard_output, OutputKind::standard_output}));
}

}  // namespace
}  // namespace berth::tether
