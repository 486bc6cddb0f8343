#include "hypervisor/qemu/qmp.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "base/text.hpp"

namespace berth::hypervisor::qemu {
namespace json = boost::json;
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::size_t kReadSize = 64 * 1024;
/// Commands that QEMU has not taken yet, in bytes.
constexpr std::size_t kOutboxLimit = std::size_t{1} << 20;

SteadyTime deadline_in(Milliseconds limit) {
  return std::chrono::steady_clock::now() + limit;
}

/// A command, and the descriptor that goes with its first byte.
struct Outgoing {
  std::string bytes;
  UniqueFd descriptor;
};

/// Bytes sent; 0 when the socket is full.
std::size_t send_some(int socket, const Outgoing& outgoing) {
  iovec part{const_cast<char*>(outgoing.bytes.data()), outgoing.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int descriptor = outgoing.descriptor.get();
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return static_cast<std::size_t>(check(sent, "send a descriptor to QEMU"));
}

Code code_from_class(std::string_view error_class) {
  if (error_class == "CommandNotFound") return Code::unsupported;
  if (error_class == "DeviceNotFound") return Code::not_found;
  if (error_class == "DeviceNotActive") return Code::wrong_state;
  return Code::internal;
}

}  // namespace

struct QmpClient::State {
  /// A command that waits for its reply; lives in the frame of execute().
  struct Call {
    std::optional<std::variant<QmpReply, QmpFailure>> answer;
  };

  State(const asio::any_io_executor& executor, UniqueFd socket, EventHandler handler)
      : stream(executor, std::move(socket)),
        on_event(std::move(handler)),
        changed(executor),
        outgoing(executor) {}

  void handle(QmpMessage message);
  void close(std::string why);
  Error closed_error() const {
    return Error(Code::unavailable, "the connection to QEMU has ended: {}", close_reason);
  }

  static Task<> read_loop(std::shared_ptr<State> self);
  static Task<> write_loop(std::shared_ptr<State> self);
  static Task<> send(State& self, Outgoing outgoing);
  static Task<json::value> execute(std::shared_ptr<State> self, UniqueFd descriptor, std::string command,
                                   json::object arguments, Milliseconds limit);
  static Task<> negotiate(std::shared_ptr<State> self, Milliseconds limit);
  static Task<bool> wait_closed(std::shared_ptr<State> self, Milliseconds limit);

  Stream stream;
  EventHandler on_event;
  Event changed;   // an answer, the greeting or the end has come
  Event outgoing;  // outbox has bytes, or the end has come
  std::deque<Outgoing> outbox;
  std::size_t outbox_bytes = 0;
  std::map<std::uint64_t, Call*> calls;
  std::uint64_t next_id = 1;
  std::string version;
  bool closed = false;
  std::string close_reason;
};

void QmpClient::State::handle(QmpMessage message) {
  if (auto* greeting = std::get_if<QmpGreeting>(&message)) {
    version = std::move(greeting->version);
  } else if (const auto* event = std::get_if<QmpEvent>(&message)) {
    if (on_event) on_event(*event);
  } else if (auto* reply = std::get_if<QmpReply>(&message)) {
    // A reply without its call is one that was given up.
    if (const auto call = calls.find(reply->id); call != calls.end())
      call->second->answer = std::move(*reply);
  } else if (auto* failure = std::get_if<QmpFailure>(&message)) {
    const auto call = failure->id ? calls.find(*failure->id) : calls.end();
    if (call != calls.end()) call->second->answer = std::move(*failure);
    if (!failure->id) log::warning("QEMU could not read a command: {}", printable(failure->description));
  }
  changed.notify_all();
}

void QmpClient::State::close(std::string why) {
  if (closed) return;
  closed = true;
  close_reason = std::move(why);
  stream.close();
  changed.notify_all();
  outgoing.notify_all();
}

Task<> QmpClient::State::read_loop(std::shared_ptr<State> self) {
  std::string why = "QEMU closed it";
  try {
    QmpReader reader;
    std::string buffer(kReadSize, '\0');
    while (const std::size_t count = co_await self->stream.read_some(buffer.data(), buffer.size())) {
      reader.append({buffer.data(), count});
      while (auto message = reader.next()) self->handle(std::move(*message));
    }
  } catch (const Error& error) {
    why = error.what();
  }
  self->close(std::move(why));
}

Task<> QmpClient::State::write_loop(std::shared_ptr<State> self) {
  try {
    while (!self->closed) {
      if (self->outbox.empty()) {
        co_await self->outgoing.wait();
        continue;
      }
      Outgoing next = std::move(self->outbox.front());
      self->outbox.pop_front();
      self->outbox_bytes -= next.bytes.size();
      co_await send(*self, std::move(next));
    }
  } catch (const Error& error) {
    // The reader sees the end too, after what QEMU still had to say.
    log::debug("write to QEMU's monitor: {}", error.what());
  }
}

Task<> QmpClient::State::send(State& self, Outgoing outgoing) {
  std::size_t sent = 0;
  while (outgoing.descriptor && sent == 0) {
    sent = send_some(self.stream.fd(), outgoing);
    if (sent == 0) co_await self.stream.wait_writable();
  }
  const std::string_view rest = std::string_view(outgoing.bytes).substr(sent);
  if (!rest.empty()) co_await self.stream.write_all(rest);
}

Task<json::value> QmpClient::State::execute(std::shared_ptr<State> self, UniqueFd descriptor,
                                            std::string command, json::object arguments, Milliseconds limit) {
  if (self->closed) throw self->closed_error();
  const std::uint64_t id = self->next_id++;
  json::object message{{"execute", command}, {"id", id}};
  if (!arguments.empty()) message["arguments"] = std::move(arguments);
  if (self->outbox_bytes > kOutboxLimit) throw Error(Code::busy, "QEMU does not take commands any more");
  self->outbox.push_back({json::serialize(message) + "\n", std::move(descriptor)});
  self->outbox_bytes += self->outbox.back().bytes.size();
  self->outgoing.notify_all();

  Call call;
  struct Registration {
    std::map<std::uint64_t, Call*>& calls;
    std::uint64_t id;
    ~Registration() { calls.erase(id); }
  };
  self->calls.emplace(id, &call);
  const Registration registration{self->calls, id};
  const SteadyTime deadline = deadline_in(limit);
  while (!call.answer) {
    if (self->closed) throw self->closed_error();
    if (!co_await self->changed.wait_until(deadline)) {
      throw Error(Code::timeout, "QEMU did not answer {} within {} ms", command, limit.count());
    }
  }
  if (const auto* failure = std::get_if<QmpFailure>(&*call.answer)) {
    throw Error(code_from_class(failure->error_class), "QEMU: {}: {}", command,
                printable(failure->description));
  }
  co_return std::move(std::get<QmpReply>(*call.answer).value);
}

Task<> QmpClient::State::negotiate(std::shared_ptr<State> self, Milliseconds limit) {
  const SteadyTime deadline = deadline_in(limit);
  while (self->version.empty()) {
    if (self->closed) throw self->closed_error();
    if (!co_await self->changed.wait_until(deadline)) {
      throw Error(Code::timeout, "QEMU did not greet within {} ms", limit.count());
    }
  }
  co_await execute(self, UniqueFd(), "qmp_capabilities", {}, left_until(deadline));
}

Task<bool> QmpClient::State::wait_closed(std::shared_ptr<State> self, Milliseconds limit) {
  const SteadyTime deadline = deadline_in(limit);
  while (!self->closed) {
    if (!co_await self->changed.wait_until(deadline)) break;
  }
  co_return self->closed;
}

QmpClient::QmpClient(const asio::any_io_executor& executor, UniqueFd socket, EventHandler on_event)
    : state_(std::make_shared<State>(executor, std::move(socket), std::move(on_event))) {
  spawn_detached(executor, "QMP reader", State::read_loop(state_));
  spawn_detached(executor, "QMP writer", State::write_loop(state_));
}

QmpClient::QmpClient(QmpClient&&) noexcept = default;

QmpClient::~QmpClient() {
  if (!state_) return;
  state_->on_event = nullptr;
  state_->close("it was closed here");
}

Task<> QmpClient::negotiate(Milliseconds limit) {
  return State::negotiate(state_, limit);
}

Task<json::value> QmpClient::execute(std::string command, json::object arguments, Milliseconds limit) {
  return State::execute(state_, UniqueFd(), std::move(command), std::move(arguments), limit);
}

Task<json::value> QmpClient::execute_with(UniqueFd descriptor, std::string command, json::object arguments,
                                          Milliseconds limit) {
  return State::execute(state_, std::move(descriptor), std::move(command), std::move(arguments), limit);
}

Task<bool> QmpClient::wait_closed(Milliseconds limit) {
  return State::wait_closed(state_, limit);
}

bool QmpClient::is_closed() const {
  return state_->closed;
}

const std::string& QmpClient::version() const {
  return state_->version;
}

}  // namespace berth::hypervisor::qemu
