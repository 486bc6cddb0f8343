#include "tether/output_port.hpp"

#include <cstring>

namespace berth::tether {

OutputPort::OutputPort(UniqueFd port, const asio::any_io_executor& executor, const Clock& clock)
    : port_(executor, std::move(port)), clock_(clock), served_(executor) {}

Task<> OutputPort::write(link::OutputKind kind, std::uint16_t session, OutputFrame& frame, std::size_t size) {
  const std::string header = link::encode_output_header(kind, session, clock_.now(), size);
  std::memcpy(frame.header(), header.data(), header.size());
  const std::uint64_t ticket = next_ticket_++;
  while (serving_ != ticket) co_await served_.wait();
  co_await port_.write_all({frame.header(), header.size() + size});
  ++serving_;
  served_.notify_all();
}

}  // namespace berth::tether
