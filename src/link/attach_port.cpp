#include "link/attach_port.hpp"

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/io.hpp"
#include "base/log.hpp"
#include "link/resync.hpp"

namespace berth::link {
namespace {

constexpr Milliseconds kResyncLimit{30'000};
constexpr Milliseconds kConnectLimit{30'000};
constexpr Milliseconds kOpenLimit{30'000};

}  // namespace

AttachPort::AttachPort(const asio::any_io_executor& executor, UniqueFd port, Keys keys, Reset reset)
    : port_(executor, std::move(port)),
      keys_(std::move(keys)),
      reset_(std::move(reset)),
      connected_(executor) {}

Task<std::unique_ptr<ssh::Channel>> AttachPort::open(ssh::Request request) {
  const Opening opening = [&request](ssh::Client& client) { return client.open(request, kOpenLimit); };
  co_return co_await open_with(opening);
}

Task<std::unique_ptr<ssh::Channel>> AttachPort::forward(ssh::ForwardTarget target) {
  const Opening opening = [&target](ssh::Client& client) { return client.forward(target, kOpenLimit); };
  co_return co_await open_with(opening);
}

Task<std::unique_ptr<ssh::Channel>> AttachPort::open_with(const Opening& opening) {
  const auto self = shared_from_this();
  try {
    co_return co_await open_once(opening);
  } catch (const Error& error) {
    if (error.code() != Code::timeout) throw;
    log::warning("{}; once more over a new connection", error.what());
  }
  co_return co_await open_once(opening);
}

Task<std::unique_ptr<ssh::Channel>> AttachPort::open_once(const Opening& opening) {
  const std::shared_ptr<ssh::Client> client = co_await connected_client();
  try {
    co_return co_await opening(*client);
  } catch (const Error& error) {
    // An answer that comes late would meet the next question.
    if (error.code() == Code::timeout) client->close();
    throw;
  }
}

void AttachPort::drop_connection() {
  if (client_) client_->close();
}

void AttachPort::close() {
  drop_connection();
  port_.close();
  connected_.notify_all();
}

Task<std::shared_ptr<ssh::Client>> AttachPort::connected_client() {
  while (connecting_) co_await connected_.wait();
  if (client_ && client_->connected()) co_return client_;
  if (!port_.is_open()) throw Error(Code::unavailable, "the machine of this container has ended");
  connecting_ = true;
  std::exception_ptr failure;
  try {
    co_await connect();
  } catch (...) {
    failure = std::current_exception();
  }
  connecting_ = false;
  connected_.notify_all();
  if (failure) std::rethrow_exception(failure);
  co_return client_;
}

Task<> AttachPort::connect() {
  client_.reset();
  if (used_) co_await with_deadline(kResyncLimit, "to take up the attach port again", resynchronise());
  used_ = true;
  client_ = co_await ssh::Client::connect(duplicate(port_.fd()), keys_.client_private_key,
                                          keys_.host_public_key, kConnectLimit);
}

Task<> AttachPort::resynchronise() {
  const std::string token = new_id();
  co_await reset_(token);
  co_await send_token(port_, token);
  co_await skip_past_token(port_, token);
}

}  // namespace berth::link
