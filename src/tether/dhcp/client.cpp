#include "tether/dhcp/client.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"

namespace berth::tether::dhcp {
namespace {

constexpr Milliseconds kLongestSleep{3'600'000};
constexpr Milliseconds kPauseAfterFailure{5'000};

bool same_lease(const std::optional<Reply>& a, const std::optional<Reply>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->address == b->address && a->prefix_length == b->prefix_length && a->router == b->router &&
         a->nameservers == b->nameservers && a->mtu == b->mtu;
}

Task<> receive_into(Transport& transport, std::uint32_t address, std::string& payload) {
  payload = co_await transport.receive(address);
}

Task<> receive_until(Event& wake, Transport& transport, std::uint32_t address, std::string& payload) {
  co_await run_until(wake, receive_into(transport, address, payload));
}

}  // namespace

Client::Client(const asio::any_io_executor& executor, Parts parts, Exchange::Settings settings)
    : parts_(std::move(parts)), exchange_(std::move(settings), parts_.clock.now()), wake_(executor) {}

void Client::start() {
  spawn_detached(wake_.executor(), "DHCP",
                 [](std::shared_ptr<Client> self) -> Task<> { co_await self->run(); }(shared_from_this()));
}

void Client::stop() {
  if (stopped_) return;
  if (const auto packet = exchange_.release()) parts_.transport->send(*packet);
  abandon();
}

void Client::abandon() {
  stopped_ = true;
  parts_.transport->close();
  wake_.notify_all();
}

Task<> Client::run() {
  while (!stopped_) {
    const auto packet = exchange_.step(parts_.clock.now());
    note_lease();
    if (packet) parts_.transport->send(*packet);
    bool failed = false;
    try {
      co_await wait_for_something();
    } catch (const Error& error) {
      if (stopped_) co_return;
      log::warning("DHCP: {}", error.what());
      failed = true;
    }
    if (failed && !stopped_) co_await wake_.wait_for(kPauseAfterFailure);
  }
}

/// A packet, the next deadline, or wake().
Task<> Client::wait_for_something() {
  const auto left = std::chrono::ceil<Milliseconds>(
      std::min<Nanoseconds>(exchange_.deadline() - parts_.clock.now(), kLongestSleep));
  if (left <= Milliseconds(0)) co_return;
  if (exchange_.state() == Exchange::State::bound) {
    parts_.transport->rest();
    co_await wake_.wait_for(left);
    co_return;
  }
  const bool has_address =
      exchange_.state() == Exchange::State::renewing || exchange_.state() == Exchange::State::rebinding;
  const std::uint32_t address = has_address ? exchange_.lease()->address : 0;
  std::string payload;
  try {
    co_await with_deadline(left, "DHCP", receive_until(wake_, *parts_.transport, address, payload));
  } catch (const Error& error) {
    if (error.code() != Code::timeout) throw;
  }
  if (!stopped_ && !payload.empty()) exchange_.receive(payload, parts_.clock.now());
  note_lease();
}

void Client::note_lease() {
  if (stopped_ || same_lease(lease_, exchange_.lease())) return;
  lease_ = exchange_.lease();
  parts_.on_change();
}

}  // namespace berth::tether::dhcp
