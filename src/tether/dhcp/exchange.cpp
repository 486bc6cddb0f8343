#include "tether/dhcp/exchange.hpp"

#include <algorithm>

namespace berth::tether::dhcp {
namespace {

using std::chrono::seconds;

constexpr Nanoseconds kNever = Nanoseconds::max();
/// A container waits for it, so it is shorter than RFC 2131's four seconds; it doubles with each repetition.
constexpr std::chrono::milliseconds kFirstRepetition{1000};
constexpr unsigned kMostDoublings = 4;
constexpr unsigned kRequests = 4;
/// After a refusal, so that a server that refuses everything is not asked in a rush.
constexpr seconds kRefusalPause{1};
/// Nobody lends for less; a shorter time would have us ask without end.
constexpr std::uint32_t kShortestLease = 4;
/// RFC 2131, 4.4.5.
constexpr seconds kLongestRenewalPause{60};

Nanoseconds duration(std::uint32_t count) {
  return seconds(count);
}

}  // namespace

Exchange::Exchange(Settings settings, Nanoseconds now) : settings_(std::move(settings)) {
  select(now);
}

void Exchange::select(Nanoseconds now) {
  state_ = State::selecting;
  transaction_ = settings_.random();
  repetitions_ = 0;
  began_ = now;
  deadline_ = now;
}

/// The spread keeps machines that began together from staying so.
Nanoseconds Exchange::next_repetition() {
  const Nanoseconds pause = kFirstRepetition * (1 << std::min(repetitions_++, kMostDoublings));
  const auto spread = static_cast<std::int64_t>(settings_.random() % 1000);
  return pause + pause / 4000 * spread;
}

std::optional<Exchange::Packet> Exchange::step(Nanoseconds now) {
  if (now < deadline_) return std::nullopt;
  switch (state_) {
    case State::selecting:
      return discover(now);
    case State::requesting:
      return request(now);
    default:
      return extend(now);
  }
}

Exchange::Packet Exchange::discover(Nanoseconds now) {
  deadline_ = now + next_repetition();
  Request request;
  request.type = Type::discover;
  request.wants_parameters = true;
  request.seconds = static_cast<std::uint16_t>(
      std::min<std::int64_t>(std::chrono::duration_cast<seconds>(now - began_).count(), UINT16_MAX));
  return send(std::move(request), kBroadcast);
}

std::optional<Exchange::Packet> Exchange::request(Nanoseconds now) {
  if (repetitions_ >= kRequests) {
    select(now);
    return step(now);
  }
  if (repetitions_ == 0) requested_ = now;
  deadline_ = now + next_repetition();
  Request request;
  request.type = Type::request;
  request.wants_parameters = true;
  request.wanted = offer_.address;
  request.server = offer_.server;
  return send(std::move(request), kBroadcast);
}

/// Asks the server at first, then anyone, for more time; until there is none.
std::optional<Exchange::Packet> Exchange::extend(Nanoseconds now) {
  if (now >= expiry_) {
    lease_.reset();
    select(now);
    return step(now);
  }
  if (state_ == State::bound) {
    transaction_ = settings_.random();
    requested_ = now;
  }
  state_ = now >= rebinding_ ? State::rebinding : State::renewing;
  const Nanoseconds end = state_ == State::rebinding ? expiry_ : rebinding_;
  const Nanoseconds least =
      std::min<Nanoseconds>(kLongestRenewalPause, std::max<Nanoseconds>((expiry_ - leased_) / 8, seconds(1)));
  const Nanoseconds pause = std::max((end - now) / 2, least);
  deadline_ = now + pause < end ? now + pause : end;
  Request request;
  request.type = Type::request;
  request.wants_parameters = true;
  request.address = lease_->address;
  return send(std::move(request), state_ == State::rebinding ? kBroadcast : lease_->server);
}

Exchange::Packet Exchange::send(Request request, std::uint32_t to) {
  request.transaction = transaction_;
  request.host_name = settings_.host_name;
  return {encode(request, settings_.mac), request.address, to};
}

void Exchange::receive(std::string_view payload, Nanoseconds now) {
  const std::optional<Reply> reply = parse(payload, transaction_, settings_.mac);
  if (!reply || state_ == State::bound) return;
  if (state_ == State::selecting) {
    if (reply->type != Type::offer) return;
    offer_ = *reply;
    state_ = State::requesting;
    repetitions_ = 0;
    deadline_ = now;
    return;
  }
  const bool any_server = state_ == State::rebinding;
  const std::uint32_t server = state_ == State::requesting ? offer_.server : lease_->server;
  // A refusal may come without a name.
  const bool from_it = reply->server == server || (reply->type == Type::refuse && reply->server == 0);
  if (!any_server && !from_it) return;
  if (reply->type == Type::refuse) {
    lease_.reset();
    select(now);
    deadline_ = now + kRefusalPause;
  } else if (reply->type == Type::acknowledge) {
    bind(*reply);
  }
}

void Exchange::bind(const Reply& reply) {
  lease_ = reply;
  state_ = State::bound;
  const std::uint32_t lease = std::max(reply.lease_seconds.value_or(kInfinite), kShortestLease);
  if (lease == kInfinite) {
    deadline_ = kNever;
    return;
  }
  // RFC 2131, 4.4.5; a server's own times hold when they are in order.
  const Nanoseconds whole = duration(lease);
  Nanoseconds renewal = duration(reply.renewal_seconds.value_or(0));
  Nanoseconds rebinding = duration(reply.rebinding_seconds.value_or(0));
  const bool in_order = renewal >= seconds(1) && renewal < rebinding && rebinding < whole;
  if (!in_order) {
    renewal = whole / 2;
    rebinding = whole / 8 * 7;
  }
  leased_ = requested_;
  renewal_ = leased_ + renewal;
  rebinding_ = leased_ + rebinding;
  expiry_ = leased_ + whole;
  deadline_ = renewal_;
}

std::optional<Exchange::Packet> Exchange::release() {
  if (!lease_) return std::nullopt;
  transaction_ = settings_.random();
  Request request;
  request.type = Type::release;
  request.address = lease_->address;
  request.server = lease_->server;
  Packet packet = send(std::move(request), lease_->server);
  lease_.reset();
  state_ = State::selecting;
  deadline_ = kNever;
  return packet;
}

}  // namespace berth::tether::dhcp
