#include "tether/output_port.hpp"

#include <cstring>
#include <utility>

namespace berth::tether {

OutputPort::OutputPort(UniqueFd port, const asio::any_io_executor& executor, const Clock& clock)
    : port_(executor, std::move(port)), clock_(clock), served_(executor) {}

Task<> OutputPort::write(link::OutputKind kind, std::uint16_t session, OutputFrame& frame, std::size_t size) {
  const std::string header = link::encode_output_header(kind, session, clock_.now(), size);
  std::memcpy(frame.header(), header.data(), header.size());
  const std::uint64_t ticket = next_ticket_++;
  while (serving_ != ticket || ticket >= held_from_) co_await served_.wait();
  if (!first_.empty()) {
    const std::string first = std::exchange(first_, {});
    co_await port_.write_all(first);
  }
  co_await port_.write_all({frame.header(), header.size() + size});
  ++serving_;
  served_.notify_all();
}

Task<> OutputPort::mark(std::string token) {
  OutputFrame frame;
  std::memcpy(frame.payload(), token.data(), token.size());
  held_from_ = next_ticket_ + 1;
  co_await write(link::OutputKind::mark, 0, frame, token.size());
}

void OutputPort::release() {
  held_from_ = UINT64_MAX;
  served_.notify_all();
}

}  // namespace berth::tether
